import { spawnSync } from 'node:child_process';

/** Checks of dtc 1.6 and newer that are off unless asked for; with these, all are on. */
const QUIET_CHECKS = [
  'deprecated_gpio_property',
  'node_name_chars_strict',
  'property_name_chars_strict',
  'unique_unit_address_if_enabled',
];

interface Run {
  readonly stdout: Buffer;
  readonly messages: string[];
}

function dtc(args: readonly string[], input: Uint8Array): Run {
  const run = spawnSync('dtc', args, { input, maxBuffer: 256 << 20, timeout: 120_000 });
  if (run.error !== undefined && 'code' in run.error && run.error.code === 'ENOENT') {
    throw new Error('dtc is missing: sudo apt-get install -y device-tree-compiler');
  }
  if (run.error !== undefined) throw run.error;
  const messages = run.stderr
    .toString()
    .split('\n')
    .filter((line) => line !== '');
  if (run.status !== 0) {
    throw new Error(`dtc ${args.join(' ')}: exit ${run.status}\n${messages.join('\n')}`);
  }
  return { stdout: run.stdout, messages };
}

/**
 * What dtc says of a blob with all of its checks on, a line each; empty when it is content.
 * Throws when dtc refuses the blob, with its messages.
 */
export function dtcCheck(blob: Uint8Array): string[] {
  const checks = QUIET_CHECKS.flatMap((check) => ['-W', check]);
  return dtc(['-I', 'dtb', '-O', 'dtb', '-o', '/dev/null', ...checks], blob).messages;
}

/** A blob from DTS source, version 17, without padding. Throws with dtc's messages. */
export function dtcCompile(dts: string, args: readonly string[] = []): Uint8Array {
  return new Uint8Array(dtc(['-q', '-I', 'dts', '-O', 'dtb', ...args], Buffer.from(dts)).stdout);
}

/** DTS source from a blob, as dtc prints it. Throws with dtc's messages. */
export function dtcDecompile(blob: Uint8Array): string {
  return dtc(['-q', '-I', 'dtb', '-O', 'dts'], blob).stdout.toString();
}
