import type { Method } from '../../../debug/index.ts';
import { InputError } from '../../exit.ts';

/** What a command line of the debugger asks for. */
export type Call =
  | { readonly kind: 'ask'; readonly method: Method; readonly params: object }
  /** Until the guest stops, or the run ends. */
  | { readonly kind: 'wait' }
  | { readonly kind: 'help' }
  | { readonly kind: 'quit' };

interface Word {
  readonly name: string;
  readonly usage: string;
  readonly help: string;
  /** Words that may follow, for completion. */
  readonly next?: readonly string[];
  /** Undefined: wrong words. */
  readonly read: (rest: readonly string[]) => Call | undefined;
}

const ask = (method: Method, params: object = {}): Call => ({ kind: 'ask', method, params });

const EVENTS = ['map', 'unmap', 'attach', 'detach', 'probe'] as const;

/** Every command, in the order of `help`. */
export const WORDS: readonly Word[] = [
  {
    name: 'status',
    usage: 'status',
    help: 'whether the guest runs, and where it stopped',
    read: (rest) => (rest.length === 0 ? ask('status') : undefined),
  },
  {
    name: 'list',
    usage: 'list [viommus|endpoints|domains] [VIOMMU]',
    help: 'what there is',
    next: ['viommus', 'endpoints', 'domains'],
    read: (rest) => {
      const [what, viommu, ...more] = rest;
      if (more.length > 0) return undefined;
      return ask('list', { ...(what && { what }), ...(viommu && { viommu }) });
    },
  },
  {
    name: 'stat',
    usage: 'stat [VIOMMU]',
    help: 'counters',
    read: ([viommu, ...more]) =>
      more.length > 0 ? undefined : ask('stat', viommu === undefined ? {} : { viommu }),
  },
  {
    name: 'dump',
    usage: 'dump ENDPOINT | dump domain N [VIOMMU]',
    help: 'the mappings of a domain',
    next: ['domain'],
    read: (rest) => {
      const [first, second, third, ...more] = rest;
      if (first === undefined || more.length > 0) return undefined;
      if (first !== 'domain')
        return second === undefined ? ask('dump', { endpoint: first }) : undefined;
      const domain = integer(second);
      if (domain === undefined) return undefined;
      return ask('dump', { domain, ...(third && { viommu: third }) });
    },
  },
  {
    name: 'translate',
    usage: 'translate ENDPOINT IOVA [LENGTH] [read|write]',
    help: 'where an access would go',
    read: ([endpoint, iova, ...rest]) => {
      const access = rest.find((word) => word === 'read' || word === 'write');
      const [length, ...more] = rest.filter((word) => word !== access);
      if (endpoint === undefined || iova === undefined || more.length > 0) return undefined;
      return ask('translate', {
        endpoint,
        iova,
        ...(length && { length }),
        ...(access && { access }),
      });
    },
  },
  {
    name: 'print',
    usage: 'print on|off',
    help: 'requests, faults and changes as they come',
    next: ['on', 'off'],
    read: ([on, ...more]) => (more.length > 0 ? undefined : onOff(on, false)),
  },
  {
    name: 'flood',
    usage: 'flood on|off',
    help: 'as print, and every access',
    next: ['on', 'off'],
    read: ([on, ...more]) => (more.length > 0 ? undefined : onOff(on, true)),
  },
  {
    name: 'fault',
    usage:
      'fault access|map ENDPOINT [COUNT] | fault record ENDPOINT ADDRESS [unknown|domain|mapping] [read|write]',
    help: 'let accesses or MAPs fail, or report a fault that never was',
    next: ['access', 'map', 'record'],
    read: fault,
  },
  {
    name: 'break',
    usage: `break ${EVENTS.join('|')} [N] [ENDPOINT] | break fault [ENDPOINT] | break address ADDR[-END] [ENDPOINT]`,
    help: 'stop the guest at the next, or at the Nth from now',
    next: [...EVENTS, 'fault', 'address'],
    read: breakOn,
  },
  {
    name: 'breaks',
    usage: 'breaks',
    help: 'the breaks there are',
    read: (rest) => (rest.length === 0 ? ask('breaks') : undefined),
  },
  {
    name: 'delete',
    usage: 'delete N',
    help: 'forget a break',
    read: ([word, ...more]) => {
      const id = integer(word);
      return id === undefined || more.length > 0 ? undefined : ask('delete', { id });
    },
  },
  {
    name: 'pause',
    usage: 'pause',
    help: 'stop the guest now',
    read: (rest) => (rest.length === 0 ? ask('pause') : undefined),
  },
  {
    name: 'continue',
    usage: 'continue',
    help: 'let it go on',
    read: (rest) => (rest.length === 0 ? ask('continue') : undefined),
  },
  {
    name: 'wait',
    usage: 'wait',
    help: 'until it stops; exit code 1 when the run ends first',
    read: (rest) => (rest.length === 0 ? { kind: 'wait' } : undefined),
  },
  {
    name: 'help',
    usage: 'help',
    help: 'this list',
    read: () => ({ kind: 'help' }),
  },
  {
    name: 'quit',
    usage: 'quit',
    help: 'leave; breaks stay, and a guest that is stopped stays so',
    read: () => ({ kind: 'quit' }),
  },
];

/** @throws InputError with the usage */
export function readCall(words: readonly string[]): Call {
  const [name = '', ...rest] = words;
  const word = WORDS.find((one) => one.name === name);
  if (word === undefined) {
    const known = WORDS.map((one) => one.name).join(', ');
    throw new InputError(`there is no command ${JSON.stringify(name)}`, `one of ${known}`);
  }
  const call = word.read(rest);
  if (call === undefined) throw new InputError(`${words.join(' ')}: wrong words`, word.usage);
  return call;
}

/** Commands of a line, which semicolons divide. */
export function readCalls(words: readonly string[]): Call[] {
  const lines = words.join(' ').split(/[;\n]/u);
  return lines
    .map((line) => line.split(/\s+/u).filter((word) => word !== ''))
    .filter((line) => line.length > 0)
    .map(readCall);
}

/** What a line may go on with. */
export function complete(line: string, names: readonly string[]): [string[], string] {
  const words = line.split(/\s+/u);
  const last = words.at(-1) ?? '';
  const word = WORDS.find(({ name }) => name === words[0]);
  const all =
    words.length <= 1
      ? WORDS.map(({ name }) => name)
      : [...(words.length === 2 ? (word?.next ?? []) : []), ...names];
  return [all.filter((one) => one.startsWith(last)), last];
}

function fault([kind, endpoint, ...rest]: readonly string[]): Call | undefined {
  if (endpoint === undefined) return undefined;
  if (kind === 'access' || kind === 'map') {
    const [count, ...more] = rest;
    const number = count === undefined ? 1 : integer(count);
    if (number === undefined || more.length > 0) return undefined;
    return ask('fault', { kind, endpoint, count: number });
  }
  const [address, ...words] = rest;
  if (kind !== 'record' || address === undefined) return undefined;
  const access = words.find((word) => word === 'read' || word === 'write');
  const [reason, ...more] = words.filter((word) => word !== access);
  if (more.length > 0) return undefined;
  return ask('fault', {
    kind,
    endpoint,
    address,
    ...(reason && { reason }),
    ...(access && { access }),
  });
}

function breakOn([on, ...rest]: readonly string[]): Call | undefined {
  if (on === undefined) return undefined;
  if (on === 'fault' || on === 'address') {
    const [address, endpoint, ...more] = on === 'address' ? rest : [undefined, ...rest];
    if (more.length > 0 || (on === 'address' && address === undefined)) return undefined;
    return ask('break', { on, ...(address && { address }), ...(endpoint && { endpoint }) });
  }
  const n = integer(rest[0]);
  const [endpoint, ...more] = n === undefined ? rest : rest.slice(1);
  if (more.length > 0) return undefined;
  return ask('break', { on, ...(n !== undefined && { n }), ...(endpoint && { endpoint }) });
}

function onOff(word: string | undefined, flood: boolean): Call | undefined {
  if (word !== 'on' && word !== 'off') return undefined;
  return ask('print', { on: word === 'on', flood });
}

/** Decimal: an endpoint ID is written `0x10`. */
function integer(word: string | undefined): number | undefined {
  return word !== undefined && /^\d{1,10}$/u.test(word) ? Number(word) : undefined;
}
