"""The template all guests are cloned from: a root file system and a disk image from Debian's packages."""
