/** What a readable blob can still have wrong: legal for libfdt, but not what it seems. */
export type FdtWarningCode =
  | 'fdt/duplicate-node'
  | 'fdt/duplicate-phandle'
  | 'fdt/duplicate-property'
  | 'fdt/memreserve'
  | 'fdt/node-name'
  | 'fdt/nop-before-root'
  | 'fdt/phandle'
  | 'fdt/property-after-node'
  | 'fdt/property-name'
  | 'fdt/struct-slack'
  | 'fdt/trailing-bytes';

/** One finding in a blob that could be read. */
export interface FdtWarning {
  readonly code: FdtWarningCode;
  /** Bytes from the start of the blob. */
  readonly offset: number;
  /** The node, or `node:property`. */
  readonly path: string;
  readonly message: string;
}

/** Records a warning. */
export type FdtWarn = (code: FdtWarningCode, offset: number, path: string, message: string) => void;
