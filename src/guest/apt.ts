import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { type MirrorSource, debianMirrors, sourcesFile } from './apt-sources.ts';
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
    `${request.arch}-${[...request.suites].sort().join('+')}`,
  );
  return withLock(join(root, 'lock'), async () => {
    const failures: string[] = [];
    for (const mirror of mirrors) {
      const config = await prepare(root, mirror, request);
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
  };
}

async function downloadOne(
  archives: string,
  config: string,
  record: AptRecord,
  signal: AbortSignal | undefined,
): Promise<AptPackage> {
  const { package: name, version, arch } = record;
  const path = join(archives, `${name}_${version.replaceAll(':', '%3a')}_${arch}.deb`);
  if (!(await exists(path)) || (await sha256File(path)) !== record.sha256) {
    const incoming = await cacheSubdirectory(archives, 'incoming');
    await aptGet(config, ['download', `${name}=${version}`], signal, incoming);
    const [file] = (await readdir(incoming)).filter((entry) => entry.endsWith('.deb'));
    if (file !== undefined) await rename(join(incoming, file), path);
    await rm(incoming, { recursive: true, force: true });
  }
  const sha256 = await sha256File(path);
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

/** Writes the private configuration and returns its path. */
async function prepare(
  root: string,
  mirror: MirrorSource,
  request: Omit<AptRequest, 'packages'>,
): Promise<string> {
  for (const part of ['etc/none.d', 'lists/partial', 'archives/partial'])
    await cacheSubdirectory(root, part);
  const keyring = await debianKeyring();
  await writeFile(
    join(root, 'etc/debian.sources'),
    sourcesFile(mirror, request.suites, request.arch, keyring ?? mirror.signedBy),
  );
  // Backports have priority 100 of their own accord, which would hide them behind older versions.
  await writeFile(join(root, 'etc/preferences'), 'Package: *\nPin: version *\nPin-Priority: 900\n');
  await writeFile(join(root, 'status'), '');
  const config = join(root, 'apt.conf');
  await writeFile(config, aptConfig(root, request.arch));
  return config;
}

/** Read after the host's own configuration, so that it decides; `#clear` empties lists. */
export function aptConfig(root: string, arch: string): string {
  const quoted = (path: string): string => `"${join(root, path)}"`;
  const lines = [
    '#clear APT::Architectures;',
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    '#clear DPkg::Pre-Install-Pkgs;',
    '#clear APT::Default-Release;',
    `APT::Architecture "${arch}";`,
    `APT::Architectures { "${arch}"; };`,
    'APT::Get::AllowUnauthenticated "false";',
    'Acquire::AllowInsecureRepositories "false";',
    'Acquire::AllowWeakRepositories "false";',
    'Acquire::AllowDowngradeToInsecureRepositories "false";',
    'Acquire::Retries "3";',
    `Dir::Etc::sourcelist ${quoted('etc/debian.sources')};`,
    `Dir::Etc::sourceparts ${quoted('etc/none.d')};`,
    `Dir::Etc::preferences ${quoted('etc/preferences')};`,
    `Dir::Etc::preferencesparts ${quoted('etc/none.d')};`,
    `Dir::State ${quoted('')};`,
    `Dir::State::Lists ${quoted('lists')};`,
    `Dir::State::status ${quoted('status')};`,
    `Dir::State::extended_states ${quoted('extended_states')};`,
    `Dir::Cache ${quoted('')};`,
    `Dir::Cache::Archives ${quoted('archives')};`,
    `Dir::Log ${quoted('')};`,
  ];
  // As root, apt would drop to a user that cannot reach into a cache below root's home.
  if (process.getuid?.() === 0) lines.push('APT::Sandbox::User "root";');
  return `${lines.join('\n')}\n`;
}

/** The key ring of the package debian-archive-keyring, which has the keys of newer releases too. */
async function debianKeyring(): Promise<string | undefined> {
  const path = '/usr/share/keyrings/debian-archive-keyring.gpg';
  return (await exists(path)) ? path : undefined;
}

/** The Debian mirrors in the sources files of the host; `VIOMMU_TOPO_MIRROR` comes before them. */
export async function hostMirrors(env: NodeJS.ProcessEnv = process.env): Promise<MirrorSource[]> {
  const shell = await runText('apt-config', [
    'shell',
    'LIST',
    'Dir::Etc::sourcelist/f',
    'PARTS',
    'Dir::Etc::sourceparts/d',
  ]);
  const setting = (name: string): string =>
    new RegExp(`^${name}='(.*)'$`, 'mu').exec(shell)?.[1] ?? '';
  const parts = setting('PARTS');
  const names = await readdir(parts).catch(() => []);
  const paths = [
    setting('LIST'),
    ...names
      .filter((name) => /\.(?:list|sources)$/u.test(name))
      .sort()
      .map((name) => join(parts, name)),
  ];
  const files: { name: string; text: string }[] = [];
  for (const path of paths) {
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text !== undefined) files.push({ name: path, text });
  }
  const found = debianMirrors(files);
  const named = env['VIOMMU_TOPO_MIRROR'];
  return named === undefined || named === ''
    ? found
    : [{ uri: named, options: new Map(), components: ['main'] }, ...found];
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** The sha256 of a file, in lower-case hexadecimal. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
