import { describe, expect, test } from 'vitest';

import { debianMirrors, sourcesFile } from '../../../src/guest/apt-sources.ts';

const deb822 = (text: string): ReturnType<typeof debianMirrors> =>
  debianMirrors([{ name: 'debian.sources', text }]);
const oneLine = (text: string): ReturnType<typeof debianMirrors> =>
  debianMirrors([{ name: 'sources.list', text }]);

describe('mirrors of the host', () => {
  test('deb822, with a snapshot, comments and the security archive', () => {
    const mirrors = deb822(`Types: deb
# a comment in the middle
URIs: http://mirror.example/archive/debian/20250520T000000Z
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
Check-Valid-Until: no

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
`);
    expect(mirrors).toHaveLength(1);
    expect(mirrors[0]).toMatchObject({
      uri: 'http://mirror.example/archive/debian/20250520T000000Z',
      signedBy: '/usr/share/keyrings/debian-archive-keyring.gpg',
    });
    expect(mirrors[0]?.options.get('Check-Valid-Until')).toBe('no');
  });

  test('one-line entries with options; commented out and source lines do not count', () => {
    const mirrors = oneLine(`
# deb http://off.example/debian bookworm main
deb-src http://src.example/debian bookworm main
deb [arch=amd64 signed-by=/k/a.gpg,/k/b.gpg] http://a.example/debian/ trixie main contrib # why
deb cdrom:[Debian]/ trixie main
deb http://security.example/debian-security trixie-security main
`);
    expect(mirrors.map(({ uri }) => uri)).toEqual(['http://a.example/debian/']);
    expect(mirrors[0]?.signedBy).toBe('/k/a.gpg /k/b.gpg');
  });

  test('third parties and disabled entries are left alone', () => {
    expect(oneLine('deb https://pkg.example/apt sdk-bookworm main')).toEqual([]);
    expect(oneLine('deb https://pkg.example/apt bookworm stable')).toEqual([]);
    expect(
      deb822('Enabled: no\nTypes: deb\nURIs: http://x.example/\nSuites: sid\nComponents: main\n'),
    ).toEqual([]);
  });

  test('a key block stays whole, and trust without a signature is not carried over', () => {
    const [mirror] = deb822(`Types: deb deb-src
URIs: http://x.example/debian http://y.example/debian
Suites: stable
Components: main non-free
Trusted: yes
Allow-Insecure: yes
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc=
 -----END PGP PUBLIC KEY BLOCK-----
`);
    expect(mirror?.signedBy).toContain('\n .\n abc=\n');
    const text = sourcesFile(mirror ?? fail(), ['trixie'], 'arm64', mirror?.signedBy);
    expect(text).not.toMatch(/trusted|insecure/iu);
    expect(text).toContain('Architectures: arm64\n');
    expect(text).toContain('Signed-By: \n -----BEGIN');
    // What we write, we read: the entry is one paragraph.
    expect(deb822(text)).toHaveLength(1);
  });

  test('the same mirror twice counts once; odd text counts nothing', () => {
    const line = 'deb http://a.example/debian bookworm main\n';
    expect(oneLine(line + line.replace('bookworm', 'bookworm-updates'))).toHaveLength(1);
    expect(oneLine('\0\0 deb [unclosed http://a b c')).toEqual([]);
    expect(deb822('no colon\n\n: :\n Types: deb')).toEqual([]);
  });
});

function fail(): never {
  throw new Error('no mirror');
}
