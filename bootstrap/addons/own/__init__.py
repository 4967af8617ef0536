"""What is special about single add-ons: what their values must agree with, and what follows from them."""
