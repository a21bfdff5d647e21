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
  | 'rsdp/address'
  | 'rsdp/not-found'
  | 'rsdp/xsdt';

/** A model, a base tree or a directory that the firmware asked for cannot be made from. */
export class FirmwareError extends Error {
  override readonly name = 'FirmwareError';
  readonly code: FirmwareErrorCode;

  constructor(code: FirmwareErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
