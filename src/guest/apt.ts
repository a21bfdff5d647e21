import { createHash } from 'node:crypto';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { exists, hostMirrors, writeAptConfig } from './apt-config.ts';
import { cacheDirectory, cacheSubdirectory, withLock } from './cache.ts';
import { EnvironmentError } from './environment.ts';
import { run, runText } from './run.ts';

/** What to get, from which suites of the host's own Debian mirror. */
export interface AptRequest {
  /** Suites to look in at the same time; the highest version of all of them is taken. */
  readonly suites: readonly string[];
  /** Debian's name of the architecture, which need not be the host's: `arm64`, `amd64`. */
  readonly arch: string;
  /** Names, or `name=version`. Dependencies are not followed. */
  readonly packages: readonly string[];
  /** Default: {@link cacheDirectory}. */
  readonly cache?: string;
  readonly signal?: AbortSignal | undefined;
  /** A line for the user now and then. */
  readonly onProgress?: ((line: string) => void) | undefined;
}

/** One downloaded package. */
export interface AptPackage {
  readonly package: string;
  readonly version: string;
  readonly arch: string;
  /** The `.deb`, inside the cache. */
  readonly path: string;
  /** Of the `.deb`; compared with the signed index. */
  readonly sha256: string;
}

/** What the signed index says about one version of a package. */
export interface AptRecord {
  readonly package: string;
  readonly version: string;
  readonly arch: string;
  readonly sha256: string;
  readonly depends: string;
}

/** An apt of our own, its lists fetched and verified. */
export interface PrivateApt {
  /** The candidate (highest) version of each package; absent ones are left out. */
  show(packages: readonly string[]): Promise<AptRecord[]>;
  download(packages: readonly string[]): Promise<AptPackage[]>;
  /** Packages and all they depend on, as for an empty machine; recommended ones are left out. */
  downloadAll(packages: readonly string[]): Promise<AptPackage[]>;
}

const OTHER_KERNEL =
  'Use a kernel of your own: --kernel PATH --modules DIR; or name a mirror of Debian: VIOMMU_TOPO_MIRROR=URI.';

/** Downloads packages, of any architecture, without root and without changing the host's apt. */
export async function aptFetch(request: AptRequest): Promise<AptPackage[]> {
  return withApt(request, (apt) => apt.download(request.packages));
}

/** Unpacks the files of a package into a directory, which is made. */
export async function unpackDeb(path: string, dir: string, signal?: AbortSignal): Promise<void> {
  await cacheSubdirectory(dir);
  await run('dpkg-deb', ['-x', path, dir], { signal });
}

/**
 * Opens a private apt for some suites and one architecture: own lists, own cache, own status file,
 * but the host's mirrors, proxies, credentials and keys.
 *
 * Signatures are always checked; `Trusted: yes` of the host is not carried over. Mirrors are tried
 * in the order of the host's files. One run at a time works in one such directory.
 *
 * Throws {@link EnvironmentError}: `env/no-debian-mirror`, `env/mirror-unreachable`,
 * `env/package-missing`, `env/package-damaged`, `env/program-missing`.
 */
export async function withApt<T>(
  request: Omit<AptRequest, 'packages'>,
  work: (apt: PrivateApt) => Promise<T>,
): Promise<T> {
  const mirrors = await hostMirrors();
  if (mirrors.length === 0) {
    throw new EnvironmentError(
      'env/no-debian-mirror',
      'The sources files of this host name no mirror of the Debian archive',
      OTHER_KERNEL,
    );
  }
  const root = await cacheSubdirectory(
    request.cache ?? cacheDirectory(),
    'apt',
    `${request.arch}-${[...request.suites].toSorted().join('+')}`,
  );
  return withLock(join(root, 'lock'), async () => {
    const failures: string[] = [];
    for (const mirror of mirrors) {
      const config = await writeAptConfig(root, mirror, request.suites, request.arch);
      try {
        request.onProgress?.(`reading the package lists of ${request.suites.join(', ')}`);
        await aptGet(config, ['update', '--error-on=any'], request.signal);
      } catch (error) {
        if (!(error instanceof EnvironmentError) || error.code !== 'env/program-failed')
          throw error;
        failures.push(error.message);
        continue;
      }
      return work(opened(root, config, request));
    }
    throw new EnvironmentError(
      'env/mirror-unreachable',
      `No mirror of this host gave ${request.suites.join(', ')}:\n${failures.join('\n')}`,
      `Check the network and the proxy of apt (apt-config dump Acquire). ${OTHER_KERNEL}`,
    );
  });
}

function opened(root: string, config: string, request: Omit<AptRequest, 'packages'>): PrivateApt {
  const show = async (packages: readonly string[]): Promise<AptRecord[]> => {
    const records: AptRecord[] = [];
    for (const name of packages) {
      const text = await runText('apt-cache', ['-c', config, 'show', '--no-all-versions', name], {
        signal: request.signal,
      }).catch((error: unknown) => {
        // apt-cache answers an unknown name with an error; the caller learns it from the gap.
        if (error instanceof EnvironmentError && error.code === 'env/program-failed') return '';
        throw error;
      });
      const record = parseRecord(text);
      if (record !== undefined) records.push(record);
    }
    return records;
  };
  return {
    show,
    async download(packages) {
      const archives = await cacheSubdirectory(root, 'debs');
      const done: AptPackage[] = [];
      for (const name of packages) {
        const [record] = await show([name]);
        if (record === undefined) {
          throw new EnvironmentError(
            'env/package-missing',
            `${name} (${request.arch}) is in none of the suites ${request.suites.join(', ')}`,
            OTHER_KERNEL,
          );
        }
        request.onProgress?.(`fetching ${record.package} ${record.version} (${record.arch})`);
        done.push(await downloadOne(archives, config, record, request.signal));
      }
      return done;
    },
    downloadAll: (packages) => downloadClosure(root, config, packages, request),
  };
}

async function downloadClosure(
  root: string,
  config: string,
  packages: readonly string[],
  request: Omit<AptRequest, 'packages'>,
): Promise<AptPackage[]> {
  const { signal } = request;
  const simulate = ['-c', config, '--simulate', '--no-install-recommends', 'install', ...packages];
  const names = parseSimulation(await runText('apt-get', simulate, { signal }));
  const text = await runText('apt-cache', ['-c', config, 'show', ...names], { signal });
  const records = text.split(/\n\s*\n/u).flatMap((paragraph) => parseRecord(paragraph) ?? []);
  const archives = await cacheSubdirectory(root, 'debs');
  const absent: AptRecord[] = [];
  for (const record of records)
    if (!(await isWhole(debPath(archives, record), record))) absent.push(record);
  request.onProgress?.(`fetching ${absent.length} of ${records.length} packages`);
  if (absent.length > 0) {
    const incoming = await cacheSubdirectory(archives, 'incoming');
    const wanted = absent.map((one) => `${one.package}=${one.version}`);
    await aptGet(config, ['download', ...wanted], signal, incoming);
    for (const record of absent) {
      // apt names its files the same way.
      const file = debPath(incoming, record);
      if (await exists(file)) await rename(file, debPath(archives, record));
    }
    await rm(incoming, { recursive: true, force: true });
  }
  const done: AptPackage[] = [];
  for (const record of records) done.push(await verified(debPath(archives, record), record));
  return done;
}

/** `name=version` of what apt would install; its lines are `Inst name (version origin [arch])`. */
export function parseSimulation(text: string): string[] {
  return Array.from(
    text.matchAll(/^Inst ([a-z0-9][a-z0-9+.-]*)(?::\S+)? (?:\[\S*\] )?\((\S+) /gmu),
    ([, name = '', version = '']) => `${name}=${version}`,
  );
}

function debPath(dir: string, { package: name, version, arch }: AptRecord): string {
  return join(dir, `${name}_${version.replaceAll(':', '%3a')}_${arch}.deb`);
}

async function isWhole(path: string, { sha256 }: AptRecord): Promise<boolean> {
  return (await exists(path)) && (await sha256File(path)) === sha256;
}

async function downloadOne(
  archives: string,
  config: string,
  record: AptRecord,
  signal: AbortSignal | undefined,
): Promise<AptPackage> {
  const path = debPath(archives, record);
  if (!(await isWhole(path, record))) {
    const incoming = await cacheSubdirectory(archives, 'incoming');
    await aptGet(config, ['download', `${record.package}=${record.version}`], signal, incoming);
    const [file] = (await readdir(incoming)).filter((entry) => entry.endsWith('.deb'));
    if (file !== undefined) await rename(join(incoming, file), path);
    await rm(incoming, { recursive: true, force: true });
  }
  return verified(path, record);
}

/** A file of the cache that is what the signed index says; another one is removed. */
async function verified(path: string, record: AptRecord): Promise<AptPackage> {
  const { package: name, version, arch } = record;
  const sha256 = (await exists(path)) ? await sha256File(path) : 'none (it did not come)';
  if (sha256 !== record.sha256) {
    await rm(path, { force: true });
    throw new EnvironmentError(
      'env/package-damaged',
      `${basename(path)} has sha256 ${sha256}, the signed index says ${record.sha256}`,
      'Try again; if it stays, the mirror or a proxy between damages files.',
    );
  }
  return { package: name, version, arch, path, sha256 };
}

function aptGet(
  config: string,
  args: readonly string[],
  signal: AbortSignal | undefined,
  cwd?: string,
): Promise<Uint8Array> {
  return run('apt-get', ['-c', config, '-qq', ...args], {
    signal,
    ...(cwd === undefined ? {} : { cwd }),
  });
}

/** The first paragraph of `apt-cache show`. */
export function parseRecord(text: string): AptRecord | undefined {
  const fields = new Map<string, string>();
  for (const line of (text.split(/\n\s*\n/u)[0] ?? '').split('\n')) {
    const colon = line.indexOf(': ');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 2).trim());
  }
  const name = fields.get('Package');
  const version = fields.get('Version');
  const sha256 = fields.get('SHA256');
  if (name === undefined || version === undefined || sha256 === undefined) return undefined;
  return {
    package: name,
    version,
    arch: fields.get('Architecture') ?? 'all',
    sha256,
    depends: fields.get('Depends') ?? '',
  };
}

/** Bytes that are read and summed up at once. */
const HASHED_AT_ONCE = 1 << 20;

/** The sha256 of a file, in lower-case hexadecimal. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(path);
  try {
    // In large pieces: a stream takes four times as long, which is felt at every boot.
    const piece = Buffer.allocUnsafe(HASHED_AT_ONCE);
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, piece.length);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(piece.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
