import type { MessagePort } from 'node:worker_threads';
import { FormatError } from '../../../bytes/index.ts';
import { EnvironmentError, type EnvironmentCode, type Guest } from '../../../guest/index.ts';
import type { BootHooks, DeviceEvent, Observation, Verdict } from '../../../scenario/index.ts';
import type { Boot } from './boots.ts';
import type { BootOptions } from './options.ts';

/** One boot, as it is sent to a worker: plain data and a port to tell things through. */
export interface BootTask {
  readonly boot: Boot;
  readonly options: BootOptions;
  readonly guest: Guest;
  readonly port: MessagePort;
  /** What somebody listens to. */
  readonly hears: {
    readonly console: boolean;
    readonly event: boolean;
    readonly observed: boolean;
  };
}

/** What comes through the port. */
export type Told =
  | { readonly kind: 'progress'; readonly text: string }
  | { readonly kind: 'console'; readonly text: string; readonly time?: number }
  | { readonly kind: 'observed'; readonly observation: Observation }
  | { readonly kind: 'event'; readonly event: DeviceEvent };

/** What a worker answers. Errors go as data: a copy of an error has lost its class and its code. */
export type BootResult = { readonly verdict: Verdict } | { readonly error: SentError };

export interface SentError {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  readonly code?: string;
  readonly cure?: string;
  readonly offset?: number;
}

/** Hooks that tell through a port. */
export function hooksThrough(
  port: Pick<MessagePort, 'postMessage'>,
  hears: BootTask['hears'],
): BootHooks {
  const tell = (told: Told): void => port.postMessage(told);
  return {
    progress: (text) => tell({ kind: 'progress', text }),
    ...(hears.console
      ? {
          console: (text: string, time?: number) =>
            tell({ kind: 'console', text, ...(time === undefined ? {} : { time }) }),
        }
      : {}),
    ...(hears.event ? { event: (event: DeviceEvent) => tell({ kind: 'event', event }) } : {}),
    ...(hears.observed
      ? { observed: (observation: Observation) => tell({ kind: 'observed', observation }) }
      : {}),
  };
}

/** The other end. */
export function hear(hooks: BootHooks, told: Told): void {
  switch (told.kind) {
    case 'progress':
      hooks.progress?.(told.text);
      break;
    case 'console':
      hooks.console?.(told.text, told.time);
      break;
    case 'event':
      hooks.event?.(told.event);
      break;
    case 'observed':
      hooks.observed?.(told.observation);
      break;
    default:
      told satisfies never;
  }
}

export function sendError(error: unknown): SentError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), stack: '' };
  const { name, message, stack = '' } = error;
  if (error instanceof EnvironmentError) {
    return { name, message, stack, code: error.code, cure: error.cure };
  }
  if (error instanceof FormatError) {
    return { name, message, stack, code: error.code, offset: error.offset };
  }
  return { name, message, stack };
}

/** The error again, where it is one for the user; else one that names the file. */
export function receiveError(sent: SentError, file: string): Error {
  const { name, message, stack, code, cure, offset } = sent;
  if (name === 'EnvironmentError' && code !== undefined && cure !== undefined) {
    return new EnvironmentError(code as EnvironmentCode, message, cure);
  }
  if (name === 'FormatError' && code !== undefined && offset !== undefined) {
    // The message has the offset at its end already.
    return new FormatError(code, offset, message.replace(/ \(at offset 0x[0-9a-f]+\)$/, ''));
  }
  const crash = new Error(`${file}: ${name}: ${message}`);
  crash.stack = `${crash.message}\n${stack}`;
  return crash;
}
