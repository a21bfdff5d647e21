/**
 * The "newc" cpio format, as initramfs uses it
 * (Linux Documentation/driver-api/early-userspace/buffer-format).
 *
 * A header is the magic and 13 fields of 8 hexadecimal digits; name and data are each padded to 4.
 */
export const CPIO_NEWC_MAGIC = '070701';
/** Name of the entry that ends an archive. */
export const CPIO_TRAILER = 'TRAILER!!!';
export const CPIO_FIELDS = [
  'c_ino',
  'c_mode',
  'c_uid',
  'c_gid',
  'c_nlink',
  'c_mtime',
  'c_filesize',
  'c_maj',
  'c_min',
  'c_rmaj',
  'c_rmin',
  'c_namesize',
  'c_chksum',
] as const;
/** Digits of one field. */
export const CPIO_FIELD_DIGITS = 8;
/** Bytes of magic and fields. */
export const CPIO_HEADER_SIZE: number =
  CPIO_NEWC_MAGIC.length + CPIO_FIELDS.length * CPIO_FIELD_DIGITS;

/** Kinds of file in `c_mode` (POSIX sys/stat.h). */
export const S_IFMT = 0o170000;
export const S_IFREG = 0o100000;
export const S_IFDIR = 0o040000;
export const S_IFLNK = 0o120000;
export const S_IFCHR = 0o020000;
