/** What can keep firmware from being built, merged or written to disk. */
export type FirmwareErrorCode =
  | 'firmware/dangling-reference'
  | 'firmware/does-not-fit'
  | 'firmware/node-path'
  | 'merge/no-host'
  | 'merge/no-msi-controller'
  | 'merge/no-device'
  | 'outputs/exists'
  | 'outputs/name'
  | 'outputs/no-space'
  | 'outputs/unwritable'
  | 'rsdp/address'
  | 'rsdp/not-found'
  | 'rsdp/xsdt';

/** A model, a base tree or a directory that the firmware asked for cannot be made from. */
export class FirmwareError extends Error {
  override readonly name = 'FirmwareError';
  readonly code: FirmwareErrorCode;
  /** What to do about it, where one thing helps. */
  readonly cure: string | undefined;

  constructor(
    code: FirmwareErrorCode,
    message: string,
    options: ErrorOptions & { readonly cure?: string } = {},
  ) {
    super(message, options);
    this.code = code;
    this.cure = options.cure;
  }
}
