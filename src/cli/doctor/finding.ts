/** What a machine can be asked to run. */
export const CAPABILITIES = [
  'model',
  'emulator',
  'qemu-arm64',
  'qemu-x86-64',
  'vfio-user-arm64',
  'vfio-user-x86-64',
  'kvm',
] as const;

export type Capability = (typeof CAPABILITIES)[number];

/** One thing that was looked for. */
export interface Finding {
  readonly subject: string;
  /** `ok`: there and good. `missing`: not there. `bad`: there, and of no use. */
  readonly state: 'ok' | 'missing' | 'bad';
  /** What was seen: a version and a path, or why it does not do. */
  readonly seen: string;
  /** What it is for. */
  readonly use: string;
  /** A command or a sentence that mends it; only where `state` is not `ok`. */
  readonly cure?: string;
  /** What cannot run without it; nothing for what only tests or convenience need. */
  readonly needed?: readonly Capability[];
}

export interface Diagnosis {
  readonly findings: readonly Finding[];
  readonly capabilities: Readonly<Record<Capability, boolean>>;
}

/** A capability is there when nothing that it needs is missing or bad. */
export function diagnose(findings: readonly Finding[]): Diagnosis {
  const lacking = new Set(
    findings.filter(({ state }) => state !== 'ok').flatMap(({ needed }) => needed ?? []),
  );
  const capabilities = Object.fromEntries(
    CAPABILITIES.map((name) => [name, !lacking.has(name)]),
  ) as Record<Capability, boolean>;
  return { findings, capabilities };
}
