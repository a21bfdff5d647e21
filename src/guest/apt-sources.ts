/**
 * The Debian mirrors that the host is already set up with.
 *
 * Read from its sources files, in both formats of sources.list(5), because `apt-get indextargets`
 * lists nothing on a host (a fresh container, say) that never ran `apt-get update`.
 */

/** One mirror of the host, with the options that its sources entry gives it. */
export interface MirrorSource {
  /** As written by the administrator; may carry a snapshot's timestamp or a `mirror+file:` method. */
  readonly uri: string;
  /** A key ring's path, a fingerprint, or a whole key block (lines after the first are indented). */
  readonly signedBy?: string;
  /** Options carried over, by their deb822 names: `Check-Valid-Until`, `By-Hash` … */
  readonly options: ReadonlyMap<string, string>;
  /** Components the host takes from it. */
  readonly components: readonly string[];
}

/** Options that say how to talk to a mirror; `Trusted` and `Allow-*` are left behind on purpose. */
const CARRIED = new Map([
  ['check-valid-until', 'Check-Valid-Until'],
  ['valid-until-min', 'Valid-Until-Min'],
  ['valid-until-max', 'Valid-Until-Max'],
  ['check-date', 'Check-Date'],
  ['date-max-future', 'Date-Max-Future'],
  ['by-hash', 'By-Hash'],
  ['snapshot', 'Snapshot'],
]);

/** Suites of the main Debian archive: not `-security`, not a third party's. */
const DEBIAN_SUITE =
  /^(?:buster|bullseye|bookworm|trixie|forky|duke|sid|oldoldstable|oldstable|stable|testing|unstable)(?:-updates|-backports|-backports-sloppy|-proposed-updates)?$/u;

interface Entry {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

/**
 * The mirrors of the main Debian archive in the given sources files, each once, in file order.
 *
 * Lines that are neither format's are passed over: apt itself complains about those.
 */
export function debianMirrors(
  files: readonly { readonly name: string; readonly text: string }[],
): MirrorSource[] {
  const found = new Map<string, MirrorSource>();
  for (const { name, text } of files) {
    const entries = name.endsWith('.sources') ? parseDeb822(text) : parseOneLine(text);
    for (const entry of entries) {
      if (!entry.components.includes('main')) continue;
      if (!entry.suites.some((suite) => DEBIAN_SUITE.test(suite))) continue;
      for (const uri of entry.uris) {
        if (uri.startsWith('cdrom:') || found.has(uri)) continue;
        found.set(uri, mirrorOf(uri, entry));
      }
    }
  }
  return [...found.values()];
}

function mirrorOf(uri: string, entry: Entry): MirrorSource {
  const options = new Map<string, string>();
  for (const [key, value] of entry.options) {
    const name = CARRIED.get(key);
    if (name !== undefined) options.set(name, value);
  }
  const signedBy = entry.options.get('signed-by');
  return {
    uri,
    options,
    components: entry.components,
    ...(signedBy === undefined ? {} : { signedBy }),
  };
}

/** `deb [option=value …] URI suite component…` */
function parseOneLine(text: string): Entry[] {
  const entries: Entry[] = [];
  for (const raw of text.split('\n')) {
    const line = raw.replace(/#.*/u, '').trim();
    const match = /^deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)((?:\s+\S+)*)$/u.exec(line);
    if (match === null) continue;
    const [, optionText = '', uri = '', suite = '', components = ''] = match;
    const options = new Map<string, string>();
    for (const option of words(optionText)) {
      const [key = '', value = ''] = option.split('=', 2);
      options.set(key.toLowerCase(), value.replaceAll(',', ' '));
    }
    entries.push({ uris: [uri], suites: [suite], components: words(components), options });
  }
  return entries;
}

/** Paragraphs of `Field: value`, folded lines indented, comment lines starting with `#`. */
function parseDeb822(text: string): Entry[] {
  const entries: Entry[] = [];
  for (const paragraph of text.replaceAll(/^#.*\n?/gmu, '').split(/\n[ \t]*\n/u)) {
    const fields = new Map<string, string>();
    let last: string | undefined;
    for (const line of paragraph.split('\n')) {
      const match = /^([A-Za-z0-9-]+):[ \t]*(.*)$/u.exec(line);
      if (match !== null) {
        last = (match[1] ?? '').toLowerCase();
        fields.set(last, match[2] ?? '');
      } else if (last !== undefined && /^[ \t]/u.test(line)) {
        fields.set(last, `${fields.get(last) ?? ''}\n${line}`);
      }
    }
    if (/^(?:no|false|0)$/iu.test(fields.get('enabled') ?? '')) continue;
    if (!words(fields.get('types') ?? '').includes('deb')) continue;
    entries.push({
      uris: words(fields.get('uris') ?? ''),
      suites: words(fields.get('suites') ?? ''),
      components: words(fields.get('components') ?? ''),
      options: fields,
    });
  }
  return entries;
}

function words(text: string): string[] {
  return text.split(/\s+/u).filter((word) => word !== '');
}

/**
 * A sources file of our own, in deb822, for other suites on the same mirror.
 *
 * Only package indices are asked for: a host set up for `apt-file` or AppStream would fetch
 * hundreds of megabytes of others.
 */
export function sourcesFile(
  mirror: MirrorSource,
  suites: readonly string[],
  arch: string,
  signedBy: string | undefined,
): string {
  const lines = [
    'Types: deb',
    `URIs: ${mirror.uri}`,
    `Suites: ${suites.join(' ')}`,
    'Components: main',
    `Architectures: ${arch}`,
    'Targets: Packages',
    'Languages: none',
  ];
  if (signedBy !== undefined) lines.push(`Signed-By: ${signedBy}`);
  for (const [name, value] of mirror.options) lines.push(`${name}: ${value}`);
  return `${lines.join('\n')}\n`;
}
