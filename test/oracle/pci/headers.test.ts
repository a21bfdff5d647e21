import { describe, expect, it } from 'vitest';
import * as dhcp from '../../../src/spec/dhcp.ts';
import * as ethernet from '../../../src/spec/ethernet.ts';
import * as ip from '../../../src/spec/ip.ts';
import * as msix from '../../../src/spec/msix.ts';
import * as config from '../../../src/spec/pci-config.ts';
import * as blk from '../../../src/spec/virtio-blk.ts';
import * as net from '../../../src/spec/virtio-net.ts';
import { askHeaders } from '../../support/linux-headers.ts';

const HEADERS = [
  'linux/pci_regs.h',
  'linux/virtio_ids.h',
  'linux/virtio_blk.h',
  'linux/virtio_net.h',
  'linux/if_ether.h',
  'linux/if_arp.h',
  'linux/icmp.h',
  'linux/in.h',
];

/** Ours under the names of the kernel, where we split or shifted what it has in one. */
const LINUX_EXPRESSION: Record<string, string> = {
  PCI_STATUS_ERRORS:
    'PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT | PCI_STATUS_REC_TARGET_ABORT | PCI_STATUS_REC_MASTER_ABORT | PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY',
  PCI_MEMORY_RANGE_MASK: 'PCI_MEMORY_RANGE_MASK & 0xffff',
  PCI_EXP_LNKCAP_MLW_X1: '1 << 4',
  PCI_ACS_ISOLATION: 'PCI_ACS_SV | PCI_ACS_TB | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF',
  VIRTIO_ID_ENTROPY: 'VIRTIO_ID_RNG',
};

const modules = { ...config, ...msix, ...blk, ...net, ...ethernet, ...ip, ...dhcp };
const constants = Object.entries(modules).flatMap(([name, value]) =>
  typeof value === 'number' ? [[name, value] as const] : [],
);

const STRUCTS = [
  [blk.VIRTIO_BLK_REQ, 'struct virtio_blk_outhdr'],
  [blk.VIRTIO_BLK_CONFIG, 'struct virtio_blk_config'],
  [blk.VIRTIO_BLK_DISCARD_WRITE_ZEROES, 'struct virtio_blk_discard_write_zeroes'],
  [net.VIRTIO_NET_HDR, 'struct virtio_net_hdr_v1'],
] as const;

describe('constants of PCI, its virtio devices and the network', () => {
  const known = constants.filter(([name]) => LINUX_EXPRESSION[name] === undefined);
  const macros = askHeaders(
    HEADERS,
    known.map(([name]) => name),
    [],
  );
  const given = constants.filter(([name]) => LINUX_EXPRESSION[name] !== undefined);
  const expressions = askHeaders(HEADERS, [], Object.values(LINUX_EXPRESSION));

  it.each(known.filter(([name]) => macros.get(name) !== undefined))(
    '%s is what the kernel says',
    (name, value) => {
      expect(value).toBe(Number(macros.get(name)));
    },
  );

  it.each(given)('%s is what the kernel makes it of', (name, value) => {
    expect(value).toBe(Number(expressions.get(LINUX_EXPRESSION[name] ?? '')));
  });

  it('are judged but for those that only the specifications name', () => {
    const open = known.filter(([name]) => macros.get(name) === undefined).map(([name]) => name);
    const unnamed =
      /^(V2M|X86|GITS|DHCP|DHO|BOOTRE|ARP|PCAP|LINKTYPE|TCP|PORT|IP_|IPDEF|IPPROTO|INADDR|PCI_CLASS|PCI_HEADER_TYPE_MFD|PCI_CAP_EXP_SIZEOF|PCI_MSI|PCI_CAP_MSI|VIRTIO_BLK_SECTOR|VIRTIO_NET_(RECEIVE|TRANSMIT)Q|PCI_(BRIDGE_WINDOW_UNIT|INTERRUPT_PINS|EXP_(TYPE_SHIFT|SLTCAP_PSN_SHIFT|LNKCAP_PN_SHIFT|FLAGS_VERS_2)))/u;
    expect(open.filter((name) => !unnamed.test(name))).toEqual([]);
    expect(constants.length - open.length).toBeGreaterThan(150);
  });
});

describe('structures', () => {
  const asked = STRUCTS.flatMap(([layout, theirs]) =>
    Object.keys(layout.offsets).map((field) => ({ layout, theirs, field })),
  );
  const names: Record<string, string> = {
    reserved: 'ioprio',
    cylinders: 'geometry.cylinders',
    heads: 'geometry.heads',
    sectors: 'geometry.sectors',
    writeback: 'wce',
    unused0: 'unused',
  };
  const expression = (theirs: string, field: string): string =>
    `offsetof(${theirs}, ${names[field] ?? field})`;
  const offsets = askHeaders(
    HEADERS,
    [],
    asked.map(({ theirs, field }) => expression(theirs, field)),
  );

  it.each(
    asked.map(
      ({ layout, theirs, field }) => [`${theirs}.${field}`, layout, theirs, field] as const,
    ),
  )('%s is where the kernel has it', (_, layout, theirs, field) => {
    const ours = (layout.offsets as Record<string, number>)[field];
    expect(ours).toBe(Number(offsets.get(expression(theirs, field))));
  });
});
