import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { manPage } from '../../../src/cli/man.ts';
import { createProgram } from '../../../src/cli/program.ts';

const nothing = (): void => undefined;
const program = await createProgram(
  {
    out: nothing,
    outBytes: nothing,
    err: nothing,
    interactive: false,
    colorOut: false,
    colorErr: false,
    env: {},
    signal: new AbortController().signal,
  },
  nothing,
);
const page = manPage(program, '2026-01-01');

describe('groff', () => {
  test('has nothing to warn of', async () => {
    const argv = ['-man', '-ww', '-z', '-Tutf8'];
    const { exitCode, stderr } = await execa('groff', argv, { input: page, reject: false });
    expect(stderr).toBe('');
    expect(exitCode).toBe(0);
  });

  test('prints every command, every option and the exit codes', async () => {
    const { stdout } = await execa('groff', ['-man', '-Tascii', '-rLL=200n'], { input: page });
    // oxlint-disable-next-line no-control-regex -- bold and underline of a terminal
    const text = stdout.replaceAll(/\u001B\[\d*m|.\u0008/gu, '');
    for (const command of program.commands) {
      if (command.name() === 'help' || command.name() === 'complete') continue;
      expect(text).toContain(command.name());
      for (const option of command.commands.length > 0 ? [] : command.options) {
        expect(text, `${command.name()} ${option.flags}`).toContain(option.long ?? option.flags);
      }
    }
    expect(text).toMatch(/EXIT STATUS[^]*70 +A mistake of viommu-topo/u);
    expect(text).toContain('viommu-topo init my.yaml --machine q35 --disks 2 --yes');
  });
});
