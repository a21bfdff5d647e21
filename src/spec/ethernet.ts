import { struct } from '../bytes/index.ts';

/** Ethernet II and ARP (IEEE 802.3, RFC 826). Big-endian. */

export const ETH_ALEN = 6;
/** Shortest and longest frame without its check sequence. */
export const ETH_ZLEN = 60;
export const ETH_FRAME_LEN = 1514;
export const ETH_DATA_LEN = 1500;

export const ETH_HEADER = struct('Ethernet header', 14, {
  destination: ['bytes', 6],
  source: ['bytes', 6],
  type: 'u16',
});

export const ETH_P_IP = 0x0800;
export const ETH_P_ARP = 0x0806;

/** ARP for IPv4 over Ethernet. */
export const ARP_PACKET = struct('ARP packet', 28, {
  ar_hrd: 'u16',
  ar_pro: 'u16',
  ar_hln: 'u8',
  ar_pln: 'u8',
  ar_op: 'u16',
  ar_sha: ['bytes', 6],
  ar_sip: 'u32',
  ar_tha: ['bytes', 6],
  ar_tip: 'u32',
});

export const ARPHRD_ETHER = 1;
export const ARPOP_REQUEST = 1;
export const ARPOP_REPLY = 2;

/** libpcap file format: header of the file and of each packet, in the byte order of the magic. */
export const PCAP_HEADER = struct('pcap file header', 24, {
  magic: 'u32',
  version_major: 'u16',
  version_minor: 'u16',
  thiszone: 'u32',
  sigfigs: 'u32',
  snaplen: 'u32',
  linktype: 'u32',
});
/** Times in nanoseconds. */
export const PCAP_MAGIC_NS = 0xa1b2_3c4d;
export const LINKTYPE_ETHERNET = 1;
export const PCAP_PACKET = struct('pcap packet header', 16, {
  seconds: 'u32',
  fraction: 'u32',
  captured: 'u32',
  length: 'u32',
});
