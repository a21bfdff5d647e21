import type { PlainState, VirtioDevice, VirtioHost } from '../../src/virtio/index.ts';

/** A device of two queues that answers each buffer with its bytes, inverted. */
export class EchoDevice implements VirtioDevice {
  readonly deviceId = 63;
  readonly features = 0b101n;
  readonly queueSizes = [8, 4];
  readonly config: Uint8Array = Uint8Array.from([1, 2, 3, 4, 5, 6, 7]);
  readonly log: string[] = [];
  host: VirtioHost | undefined;
  /** Buffers answered per kick. */
  budget = Infinity;
  /** Whether buffers are kept until `answer`. */
  hold = false;
  refuse = false;

  attach(host: VirtioHost): void {
    this.host = host;
  }

  configWrite(offset: number, size: number, value: number): void {
    this.log.push(`config[${offset}+${size}] = ${value}`);
    if (offset === 4 && size === 1) this.config[4] = value;
  }

  accepts(): boolean {
    return !this.refuse;
  }

  start(): void {
    this.log.push('start');
  }

  kick(index: number): void {
    this.log.push(`kick ${index}`);
    if (this.hold) {
      while (this.host?.queue(index)?.pop()) this.log.push('held');
      return;
    }
    this.answer(index);
  }

  answer(index: number): void {
    for (let count = 0; count < this.budget; count++) {
      const queue = this.host?.queue(index);
      const chain = queue?.pop();
      if (!queue || !chain) {
        this.host?.signal(index);
        return;
      }
      const bytes = new Uint8Array(chain.readableLength);
      chain.reader.read(bytes);
      queue.push(chain, chain.writer.write(bytes.map((byte) => ~byte)));
    }
    this.host?.signal(index);
    this.host?.kickLater(index);
  }

  queueReset(index: number): void {
    this.log.push(`queue reset ${index}`);
  }

  reset(): void {
    this.log.push('reset');
  }

  systemReset(): void {
    this.log.push('system reset');
    this.config[4] = 5;
  }

  snapshot(): PlainState {
    return { log: this.log.length };
  }

  restore(state: PlainState): void {
    this.log.push(`restored ${JSON.stringify(state)}`);
  }
}
