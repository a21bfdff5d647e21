import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';

/** A console log as a guest writes it: numbers and time stamps come by themselves. */
export class ConsoleWriter {
  #number = 0;
  #time = 0.5;
  #text = '';

  get text(): string {
    return this.#text;
  }

  /** A report line. */
  say(rest: string): this {
    this.#number += 1;
    return this.kernel(`VT1 ${this.#number} ${rest}`);
  }

  /** A line that is lost on the way. */
  lose(): this {
    this.#number += 1;
    return this;
  }

  kernel(text: string): this {
    this.#time += 0.001;
    this.#text += `[${this.#time.toFixed(6).padStart(12)}] ${text}\r\n`;
    return this;
  }

  raw(text: string): this {
    this.#text += text;
    return this;
  }

  /** A table with its bytes, `pieces` lines of them. */
  blob(name: string, bytes: Uint8Array, pieces = 2): this {
    const data = gzipSync(bytes).toString('base64');
    const size = Math.ceil(data.length / pieces);
    const hash = createHash('sha256').update(bytes).digest('hex');
    this.say(`blob name=${name} size=${bytes.length} sha256=${hash} chunks=${pieces}`);
    for (let index = 0; index < pieces; index++)
      this.say(
        `chunk name=${name} index=${index} data=${data.slice(index * size, (index + 1) * size)}`,
      );
    return this;
  }

  begin(): this {
    return this.say('begin protocol=1 release=6.12.9+x version=#1%20SMP uptime=0.51 console=7');
  }

  end(): this {
    return this.say(`end lines=${this.#number + 1} uptime=2.25`);
  }
}
