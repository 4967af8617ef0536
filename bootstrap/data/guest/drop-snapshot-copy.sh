#!/bin/sh
# Removes the copy that snapshot.sh has left for the login user to fetch.
set -eu

exec rm -f ./snapshot.out
