/** What can be wrong with a tree that is to be written, merged or searched. */
export type FdtTreeCode =
  | 'fdt/depth'
  | 'fdt/duplicate-node'
  | 'fdt/duplicate-phandle'
  | 'fdt/memreserve'
  | 'fdt/node-name'
  | 'fdt/path'
  | 'fdt/phandle'
  | 'fdt/property-name'
  | 'fdt/root-name'
  | 'fdt/shared-node'
  | 'fdt/too-large'
  | 'fdt/unit-address'
  | 'fdt/unresolved'
  | 'fdt/value';

/**
 * A tree in memory that cannot become a blob (as opposed to a damaged blob, which is a
 * `FormatError`). `path` is the node, or the node and property, at fault.
 */
export class FdtTreeError extends Error {
  override readonly name = 'FdtTreeError';
  readonly code: FdtTreeCode;
  readonly path: string;

  constructor(code: FdtTreeCode, path: string, message: string) {
    super(`${path}: ${message}`);
    this.code = code;
    this.path = path;
  }
}
