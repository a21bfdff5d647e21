import { ByteSink, structBytes } from '../../bytes/index.ts';
import { LINKTYPE_ETHERNET, PCAP_HEADER, PCAP_MAGIC_NS, PCAP_PACKET } from '../../spec/ethernet.ts';
import type { NetTap } from '../net.ts';

const SNAPLEN = 0x4_0000;
const SECOND = 1_000_000_000n;

/**
 * A tap that writes what passes as a pcap file, for tcpdump and Wireshark.
 *
 * @param write is given the file piece by piece: its header at once, then each frame
 * @param clock nanoseconds since 1970, or since the machine began
 */
export function pcapTap(write: (bytes: Uint8Array) => void, clock: () => bigint): NetTap {
  write(
    structBytes(PCAP_HEADER, 'le', {
      magic: PCAP_MAGIC_NS,
      version_major: 2,
      version_minor: 4,
      snaplen: SNAPLEN,
      linktype: LINKTYPE_ETHERNET,
    }),
  );
  return (frame) => {
    const now = clock();
    const sink = new ByteSink('le', PCAP_PACKET.size + frame.length);
    PCAP_PACKET.write(sink, {
      seconds: Number(BigInt.asUintN(32, now / SECOND)),
      fraction: Number(now % SECOND),
      captured: frame.length,
      length: frame.length,
    });
    write(sink.raw(frame).bytes());
  };
}
