import { describe, expect, test } from 'vitest';
import { PCI_CAPABILITY_LIST } from '../../../src/spec/pci-config.ts';
import {
  PCI_CAP_ID_VNDR,
  VIRTIO_PCI_CAP_PCI_CFG,
  VIRTIO_PCI_CFG_CAP,
} from '../../../src/spec/virtio-pci.ts';
import {
  EINVAL,
  EMSGSIZE,
  ENOTSUP,
  EPROTO,
  VFIO_USER_DEVICE_GET_INFO,
  VFIO_USER_DEVICE_RESET,
  VFIO_USER_REGION_READ,
  VFIO_USER_REGION_WRITE,
  VFIO_USER_REGION_WRITE_MULTI,
  VFIO_USER_VERSION,
} from '../../../src/spec/vfio-user.ts';
import { accessBody, message, QEMU_CAPABILITIES, versionBody } from '../../support/vfio-client.ts';
import { rig } from '../../support/vfio-session.ts';

/** Bytes of annotated hex text: what follows a `#` is for people. */
function bytes(text: string): Uint8Array {
  const digits = text.replaceAll(/#.*$/gmu, '').replaceAll(/\s/gu, '');
  return Uint8Array.from(Buffer.from(digits, 'hex'));
}

function show(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}

describe('messages, byte by byte', () => {
  test('GET_INFO', () => {
    const request = bytes(`
      0500      # message_id
      0400      # command: DEVICE_GET_INFO
      20000000  # message_size
      00000000  # flags: a command
      00000000  # error_no
      10000000  # argsz
      00000000 00000000 00000000`);
    const reply = bytes(`
      0500 0400
      20000000  # message_size
      01000000  # flags: a reply
      00000000
      10000000  # argsz
      03000000  # RESET | PCI
      09000000  # regions: six BARs, ROM, configuration space, VGA
      05000000  # INTx, MSI, MSI-X, errors, requests`);
    expect(show(rig().raw(request))).toBe(show(reply));
  });

  test('GET_REGION_INFO of configuration space', () => {
    const request = bytes(`
      0600 0500 30000000 00000000 00000000
      20000000  # argsz
      00000000
      07000000  # index: configuration space
      00000000 0000000000000000 0000000000000000`);
    const reply = bytes(`
      0600 0500 30000000 01000000 00000000
      20000000
      03000000  # READ | WRITE
      07000000
      00000000
      0010000000000000  # 4096 bytes: PCI Express
      0000000000000000`);
    expect(show(rig().raw(request))).toBe(show(reply));
  });

  test('GET_IRQ_INFO of MSI-X', () => {
    const request = bytes(`
      0700 0700 20000000 00000000 00000000
      10000000 00000000
      02000000  # index: MSI-X
      00000000`);
    const reply = bytes(`
      0700 0700 20000000 01000000 00000000
      10000000
      01000000  # EVENTFD
      02000000
      02000000  # two vectors: configuration changes, the queue`);
    expect(show(rig().raw(request))).toBe(show(reply));
  });

  test('REGION_READ of the vendor and device ID', () => {
    const request = bytes(`
      0800 0900 20000000 00000000 00000000
      0000000000000000  # offset
      07000000          # configuration space
      04000000          # count`);
    const reply = bytes(`
      0800 0900
      24000000          # message_size: four bytes more
      01000000 00000000
      0000000000000000 07000000 04000000
      f41a 4210         # virtio, 0x1040 + 2`);
    expect(show(rig().raw(request))).toBe(show(reply));
  });

  test('an error is a header alone', () => {
    const request = bytes(`
      0900 0500 30000000 00000000 00000000
      20000000 00000000
      09000000          # a region that there is not
      00000000 0000000000000000 0000000000000000`);
    const reply = bytes(`
      0900 0500
      10000000
      21000000          # a reply, ERROR
      16000000          # EINVAL`);
    expect(show(rig().raw(request))).toBe(show(reply));
  });
});

describe('version', () => {
  test('0.0 is agreed on, with a reply that is no longer than the request', () => {
    const fresh = rig('disk0', { agreed: false });
    const reply = fresh.raw(message(1, VFIO_USER_VERSION, versionBody()));
    expect(reply.length).toBeLessThanOrEqual(16 + 4 + QEMU_CAPABILITIES.length + 1);
    expect(reply.at(-1)).toBe(0);
    const text = Buffer.from(reply.subarray(20, -1)).toString();
    expect(JSON.parse(text)).toMatchObject({ capabilities: { max_msg_fds: 16 } });
    expect(text).not.toContain('write_multiple');
    expect(fresh.request(VFIO_USER_DEVICE_GET_INFO).errno).toBe(0);
  });

  test.each([
    ['{}', '{}'],
    ['', ''],
    ['{"capabilities":{}}', '{}'],
  ])('after %j it says %j', (theirs, ours) => {
    const reply = rig('disk0', { agreed: false }).raw(
      message(1, VFIO_USER_VERSION, versionBody(0, 0, theirs)),
    );
    expect(Buffer.from(reply.subarray(20)).toString()).toBe(ours === '' ? '' : `${ours}\0`);
  });

  test.each([
    ['another major version', versionBody(1), ENOTSUP],
    ['no version at all', Uint8Array.of(0, 0), EINVAL],
    ['text that is no JSON', versionBody(0, 0, '{"capab'), EINVAL],
    ['text without an end', versionBody().subarray(0, -1), EINVAL],
  ])('%s is refused, explained, and the end', (_what, body, errno) => {
    const fresh = rig('disk0', { agreed: false });
    expect(fresh.request(VFIO_USER_VERSION, body).errno).toBe(errno);
    expect(fresh.session.over).toBe(true);
    expect(fresh.problems[0]?.code).toBe('vfio-user/protocol');
  });

  test('nothing is done before, and it is asked for once', () => {
    const fresh = rig('disk0', { agreed: false });
    expect(fresh.request(VFIO_USER_DEVICE_GET_INFO).errno).toBe(EPROTO);
    expect(fresh.session.over).toBe(true);
    const agreed = rig();
    expect(agreed.request(VFIO_USER_VERSION, versionBody()).errno).toBe(EINVAL);
    expect(agreed.session.over).toBe(false);
  });
});

describe('requests', () => {
  test('a posted write is done and not answered, even when it is wrong', () => {
    const { raw, device } = rig();
    const write = (region: number, at: number, data: number[]): Uint8Array =>
      Buffer.concat([accessBody(region, at, data.length), Uint8Array.from(data)]);
    const posted = (body: Uint8Array): Uint8Array =>
      raw(message(1, VFIO_USER_REGION_WRITE, body, 0x10));
    // device_feature_select of the common configuration.
    expect(posted(write(4, 0, [1, 0, 0, 0]))).toHaveLength(0);
    expect(device.fn.barRead(4, 0, 4)).toBe(1);
    expect(posted(write(3, 0, [1]))).toHaveLength(0);
  });

  test('a read of all of configuration space has no effects on windows in it', () => {
    const { request, device } = rig();
    const { body } = request(VFIO_USER_REGION_READ, accessBody(7, 0, 4096));
    expect(body).toHaveLength(16 + 4096);
    expect([...body.subarray(16, 20)]).toEqual([0xf4, 0x1a, 0x42, 0x10]);
    expect(device.fn.config.size).toBe(4096);
  });

  test('wide and unaligned accesses to a BAR are split', () => {
    const { request, device } = rig();
    device.fn.barWrite(4, 0, 4, 1);
    const feature = device.fn.barRead(4, 4, 4);
    const { body } = request(VFIO_USER_REGION_READ, accessBody(4, 0, 8));
    expect(Buffer.from(body).readUInt32LE(16)).toBe(1);
    expect(Buffer.from(body).readUInt32LE(20)).toBe(feature);
    expect(request(VFIO_USER_REGION_READ, accessBody(4, 1, 7)).errno).toBe(0);
  });

  test.each([
    ['past the end of a region', accessBody(7, 4094, 4), EINVAL],
    ['of nothing', accessBody(7, 0, 0), EINVAL],
    ['of a BAR that there is not', accessBody(0, 0, 4), EINVAL],
    ['at 2^64 - 4', accessBody(7, 0, 4).fill(0xff, 0, 8), EINVAL],
    ['of more than may be moved at once', accessBody(7, 0, 0x7fff_ffff), EMSGSIZE],
    ['that is cut short', accessBody(7, 0, 4).subarray(0, 12), EMSGSIZE],
  ])('a read %s is refused', (_what, body, errno) => {
    const one = rig();
    expect(one.request(VFIO_USER_REGION_READ, body).errno).toBe(errno);
    expect(one.session.over).toBe(false);
  });

  test('a write whose count is not what comes is refused', () => {
    const body = Buffer.concat([accessBody(7, 4, 4), Uint8Array.of(6, 0)]);
    expect(rig().request(VFIO_USER_REGION_WRITE, body).errno).toBe(EINVAL);
  });

  test('several writes in one message are done in order', () => {
    const { request, device } = rig();
    const one = (offset: number, value: number): Uint8Array =>
      Buffer.concat([accessBody(4, offset, 4), Uint8Array.of(value, 0, 0, 0, 0, 0, 0, 0)]);
    const count = Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0);
    const body = Buffer.concat([count, one(0, 1), one(8, 1)]);
    expect(request(VFIO_USER_REGION_WRITE_MULTI, body).errno).toBe(0);
    expect([device.fn.barRead(4, 0, 4), device.fn.barRead(4, 8, 4)]).toEqual([1, 1]);
    expect(request(VFIO_USER_REGION_WRITE_MULTI, body.subarray(0, -1)).errno).toBe(EINVAL);
    const many = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    expect(request(VFIO_USER_REGION_WRITE_MULTI, many).errno).toBe(EINVAL);
  });

  test('an unknown command is refused, told of, and the connection goes on', () => {
    const one = rig();
    expect(one.request(99).errno).toBe(ENOTSUP);
    expect(one.problems[0]?.message).toContain('99');
    expect(one.request(VFIO_USER_DEVICE_GET_INFO).errno).toBe(0);
    for (let i = 0; i < 100; i++) one.request(99);
    expect(one.problems.length).toBeLessThan(10);
  });

  test('our own mistake is an error reply and a problem, never silence', () => {
    const one = rig();
    one.device.fn.barRead = () => {
      throw new Error('planted');
    };
    expect(one.request(VFIO_USER_REGION_READ, accessBody(4, 0, 4)).errno).toBe(5);
    expect(one.problems).toHaveLength(1);
    expect(one.problems[0]).toMatchObject({ code: 'vfio-user/internal' });
    expect(one.problems[0]?.message).toContain('planted');
    expect(one.request(VFIO_USER_DEVICE_GET_INFO).errno).toBe(0);
  });

  test('DEVICE_RESET is a system reset: boot bypass comes back', () => {
    const { request, machine, resets } = rig('viommu0');
    const viommu = machine.viommus.get('viommu0');
    if (viommu === undefined) throw new Error('no vIOMMU');
    const { fn } = machine.unit('viommu0')?.pci ?? {};
    const boots = viommu.viommu.bootBypass;
    viommu.device.state.bypass = boots ? 0 : 1;
    // A driver's own reset keeps it.
    fn?.barWrite(4, 0x14, 1, 0);
    expect(viommu.device.state.bypass).toBe(boots ? 0 : 1);
    expect(request(VFIO_USER_DEVICE_RESET).errno).toBe(0);
    expect(viommu.device.state.bypass).toBe(boots ? 1 : 0);
    expect(resets).toEqual(['viommu0']);
  });

  test('the BAR can be reached through configuration space alone, as SeaBIOS does', () => {
    const one = rig();
    const { config } = one.device.fn;
    let at = config.get(PCI_CAPABILITY_LIST, 1);
    // cfg_type is the fourth byte of a vendor-specific capability.
    while (
      config.get(at, 1) !== PCI_CAP_ID_VNDR ||
      config.get(at + 3, 1) !== VIRTIO_PCI_CAP_PCI_CFG
    ) {
      at = config.get(at + 1, 1);
      expect(at).not.toBe(0);
    }
    const { bar, offset, length, pci_cfg_data: data } = VIRTIO_PCI_CFG_CAP.offsets;
    const write = (register: number, value: number[]): void => {
      const body = Buffer.concat([
        accessBody(7, at + register, value.length),
        Uint8Array.from(value),
      ]);
      expect(one.request(VFIO_USER_REGION_WRITE, body).errno).toBe(0);
    };
    write(bar, [4]);
    write(offset, [0, 0, 0, 0]);
    write(length, [4, 0, 0, 0]);
    write(data, [1, 0, 0, 0]);
    expect(one.device.fn.barRead(4, 0, 4)).toBe(1);
    write(offset, [4, 0, 0, 0]);
    const { body } = one.request(VFIO_USER_REGION_READ, accessBody(7, at + data, 4));
    expect(Buffer.from(body).readUInt32LE(16)).toBe(one.device.fn.barRead(4, 4, 4));
  });
});
