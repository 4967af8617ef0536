"""What commands look at before they plan. Reads only."""
