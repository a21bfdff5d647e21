import { struct } from '../bytes/index.ts';

/** DHCP (RFC 2131, 2132). Big-endian. */

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;

export const DHCP_MESSAGE = struct('DHCP message', 240, {
  op: 'u8',
  htype: 'u8',
  hlen: 'u8',
  hops: 'u8',
  xid: 'u32',
  secs: 'u16',
  flags: 'u16',
  ciaddr: 'u32',
  yiaddr: 'u32',
  siaddr: 'u32',
  giaddr: 'u32',
  chaddr: ['bytes', 16],
  sname: ['bytes', 64],
  file: ['bytes', 128],
  cookie: 'u32',
});
export const BOOTREQUEST = 1;
export const BOOTREPLY = 2;
export const DHCP_COOKIE = 0x6382_5363;
/** Shortest message that old clients take. */
export const DHCP_MIN_LEN = 300;

// Options.
export const DHO_PAD = 0;
export const DHO_SUBNET_MASK = 1;
export const DHO_ROUTERS = 3;
export const DHO_DOMAIN_NAME_SERVERS = 6;
export const DHO_REQUESTED_ADDRESS = 50;
export const DHO_LEASE_TIME = 51;
export const DHO_MESSAGE_TYPE = 53;
export const DHO_SERVER_IDENTIFIER = 54;
export const DHO_END = 255;

export const DHCPDISCOVER = 1;
export const DHCPOFFER = 2;
export const DHCPREQUEST = 3;
export const DHCPACK = 5;
export const DHCPNAK = 6;
export const DHCPINFORM = 8;
