#!/bin/sh
# Makes the disk image: one DOS partition with an ext4 root, and GRUB for a BIOS, without loop devices.
#   LOWER_DIRS  directories that make up the root file system, uppermost first
#   WORK        scratch directory
#   IMAGE       the qcow2 to write
#   GRUB_DIR    GRUB's modules for i386-pc
set -eu
start_sector=2048
raw="$WORK/disk.raw"
truncate -s 2G "$raw"
printf 'label: dos\nstart=%s, type=83, bootable\n' "$start_sector" | sfdisk --quiet "$raw"

grub-mkimage -d "$GRUB_DIR" -O i386-pc -p '(hd0,msdos1)/boot/grub' -o "$WORK/core.img" \
    biosdisk part_msdos ext2 linux normal configfile boot
dd if="$GRUB_DIR/boot.img" of="$raw" bs=440 count=1 conv=notrunc status=none
dd if="$WORK/core.img" of="$raw" bs=512 seek=1 conv=notrunc status=none

# This mount is in a namespace of the build's own and goes with it.
mkdir "$WORK/merged"
mount -t overlay overlay -o "ro,lowerdir=$LOWER_DIRS" "$WORK/merged"
mke2fs -q -t ext4 -L lab-root -E "offset=$((start_sector * 512)),lazy_itable_init=1,lazy_journal_init=1" \
    -O ^metadata_csum_seed,^orphan_file -d "$WORK/merged" "$raw" "$((2 * 1024 * 1024 - start_sector / 2))k"
umount "$WORK/merged"
qemu-img convert -f raw -O qcow2 "$raw" "$IMAGE"
