import { access, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type MirrorSource, debianMirrors, sourcesFile } from './apt-sources.ts';
import { cacheSubdirectory } from './cache.ts';
import { runText } from './run.ts';

/** Writes the private configuration and returns its path. */
export async function writeAptConfig(
  root: string,
  mirror: MirrorSource,
  suites: readonly string[],
  arch: string,
): Promise<string> {
  for (const part of ['etc/none.d', 'lists/partial', 'archives/partial'])
    await cacheSubdirectory(root, part);
  const keyring = await debianKeyring();
  await writeFile(
    join(root, 'etc/debian.sources'),
    sourcesFile(mirror, suites, arch, keyring ?? mirror.signedBy),
  );
  // Backports have priority 100 of their own accord, which would hide them behind older versions.
  await writeFile(
    join(root, 'etc/preferences'),
    'Package: *\nPin: release c=main\nPin-Priority: 900\n',
  );
  await writeFile(join(root, 'status'), '');
  const config = join(root, 'apt.conf');
  await writeFile(config, aptConfig(root, arch));
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
      .toSorted()
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

/** Whether a path leads to something. */
export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
