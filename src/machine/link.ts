import { NetPeer, type NetLink } from '../endpoints/index.ts';

/** The other end of a cable that nobody asked for another: ARP, ICMP, DHCP at 10.0.2.2. */
export function defaultLink(): NetLink {
  return new NetPeer();
}
