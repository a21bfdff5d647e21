import { InvalidArgumentError } from 'commander';
import { describe, expect, test } from 'vitest';
import { netOption, tapsOf } from '../../../src/cli/commands/boot/net.ts';
import { InputError } from '../../../src/cli/exit.ts';
import { cli } from '../../support/cli.ts';
import { shippedModel } from '../../support/model-guest.ts';

const ONE_NIC = 'topologies/its.yaml';

describe('--net', () => {
  test('says an interface, and what else is not usual', () => {
    expect(netOption('tap=tap0', [])).toEqual([
      { tap: 'tap0', address: '10.0.2.15/24', peer: '10.0.2.2' },
    ]);
    const before = netOption('tap=tap0', []);
    const all = netOption('peer=192.168.7.1,ip=192.168.7.2/30,endpoint=net1,tap=tap1', before);
    expect(all).toEqual([
      ...before,
      { tap: 'tap1', endpoint: 'net1', address: '192.168.7.2/30', peer: '192.168.7.1' },
    ]);
  });

  test.each([
    ['', 'It is tap=NAME'],
    ['tap0', 'It is tap=NAME'],
    ['endpoint=net0', 'It is tap=NAME'],
    ['tap=a,tap=b', 'It is tap=NAME'],
    ['tap=a,mac=b', 'It is tap=NAME'],
    ['tap=a,', 'It is tap=NAME'],
    ['tap=tap%d', 'no name of an interface'],
    ['tap=sixteen-letters!', 'no name of an interface'],
    ['tap=a,ip=10.0.0.1/24', 'go together'],
    ['tap=a,peer=10.0.0.1', 'go together'],
    ['tap=a,ip=10.0.0.1,peer=10.0.0.2', 'with its prefix'],
    ['tap=a,ip=10.0.0.1/33,peer=10.0.0.2', 'with its prefix'],
    ['tap=a,ip=10.0.0.1/0,peer=10.0.0.2', 'with its prefix'],
    ['tap=a,ip=10.0.0.1/8/8,peer=10.0.0.2', 'with its prefix'],
    ['tap=a,ip=10.0.0.256/24,peer=10.0.0.2', 'with its prefix'],
    ['tap=a,ip=10.0.0.1/24,peer=host', 'is an IPv4 address'],
    ['tap=a,ip=10.0.0.1/24,peer=10.0.0.1', 'they differ'],
    ['tap=a,ip=200.0.0.1/24,peer=200.0.1.1', '200.0.1.1 is not in 200.0.0.1/24'],
  ])('%j is refused', (text, reason) => {
    const read = (): unknown => netOption(text, []);
    expect(read).toThrow(InvalidArgumentError);
    expect(read).toThrow(reason);
  });

  test('takes the only NIC there is', () => {
    const taps = tapsOf(netOption('tap=tap0', []), shippedModel('its'));
    expect(taps).toEqual([
      { tap: 'tap0', endpoint: 'net0', address: '10.0.2.15/24', peer: '10.0.2.2' },
    ]);
  });

  test('what the topology does not have is refused', () => {
    const its = shippedModel('its');
    const none = shippedModel('one-endpoint');
    const wrong = (options: string[], model = its): (() => unknown) => {
      const all = options.reduce((list, text) => netOption(text, list), netOption('tap=x', []));
      return () => tapsOf(options.length === 0 ? all : all.slice(1), model);
    };
    expect(wrong([], none)).toThrow(InputError);
    expect(wrong([], none)).toThrow('one-endpoint has no virtio-net device');
    expect(wrong(['tap=a,endpoint=disk0'])).toThrow('its has no virtio-net disk0');
    expect(wrong(['tap=a', 'tap=b'])).toThrow('net0 on a, and net0 on b');
  });

  test('another backend, a second boot: refused before anything is opened', async () => {
    const elsewhere = await cli('boot', ONE_NIC, '--backend', 'qemu', '--net', 'tap=nosuch0');
    expect(elsewhere.code).toBe(2);
    expect(elsewhere.err).toContain('--net is for --backend emulator or qemu-vfio-user');
    const model = await cli('boot', ONE_NIC, '--backend', 'model', '--net', 'tap=nosuch0');
    expect(model.code).toBe(2);
    const both = await cli('boot', ONE_NIC, '--firmware', 'both', '--net', 'tap=nosuch0');
    expect(both.code).toBe(2);
    expect(both.err).toContain('a TAP interface is for one guest at a time');
    const cached = await cli('boot', ONE_NIC, '--from-snapshot', '--net', 'tap=nosuch0');
    expect(cached.err).toContain('--from-snapshot starts no guest for --net');
  });
});
