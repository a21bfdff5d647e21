import { InvalidArgumentError } from 'commander';
import { readNumber, type KernelVersion } from '../topology/index.ts';

/** Argument readers; commander turns what they throw into a message with the option's name. */

/** `6.12`, `6.12.95`, `6.12.95+deb12-arm64`: as far as behaviour goes, major and minor. */
export function kernelVersion(text: string): KernelVersion {
  const match = /^(\d{1,3})\.(\d{1,3})(?:[.+-].*)?$/.exec(text);
  if (!match) throw new InvalidArgumentError('A Linux version is wanted, such as 6.12.');
  return { major: Number(match[1]), minor: Number(match[2]) };
}

/** A positive number of seconds. */
export function seconds(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0 || value > 86_400) {
    throw new InvalidArgumentError('Seconds are wanted, above 0 and at most 86400.');
  }
  return value;
}

/** One of a list, for options that commander's `choices` does not describe well. */
export function guestArch(text: string): 'arm64' | 'amd64' {
  if (text === 'arm64' || text === 'aarch64') return 'arm64';
  if (text === 'amd64' || text === 'x86-64' || text === 'x86_64') return 'amd64';
  throw new InvalidArgumentError('arm64 or amd64 is wanted.');
}

/** Bytes, as topologies have them: `512M`, `0x2000_0000`. */
export function bytes(text: string): bigint {
  const read = readNumber(text);
  if ('value' in read && read.value > 0n) return read.value;
  throw new InvalidArgumentError('A size is wanted, such as 512M.');
}

/** How many of something: 1 to 1024. */
export function count(text: string): number {
  const value = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= 1024) return value;
  throw new InvalidArgumentError('A number from 1 to 1024 is wanted.');
}

/** One more value of an option that may be repeated. */
export function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}
