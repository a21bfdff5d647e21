import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FormatError } from '../../src/bytes/index.ts';
import { buildFirmware, inspect, type Inspection } from '../../src/firmware/index.ts';
import { DEFAULT_KERNEL, explain, findAskers, type Facts } from '../../src/topology/index.ts';
import { shippedModel } from '../support/model-guest.ts';

const model = shippedModel('two-viommus');
const {
  dtb = new Uint8Array(),
  viot = new Uint8Array(),
  mcfg = new Uint8Array(),
} = buildFirmware(model);

/** Bytes exchanged here and there. */
const damage = fc.array(fc.tuple(fc.nat(), fc.nat(0xff)), { maxLength: 8 });

function damaged(bytes: Uint8Array, changes: readonly (readonly [number, number])[]): Uint8Array {
  const copy = bytes.slice();
  for (const [at, value] of changes) copy[at % copy.length] = value;
  return copy;
}

function read(bytes: Uint8Array, file: string): Inspection | undefined {
  try {
    return inspect(bytes, file);
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    return undefined;
  }
}

test('damaged firmware is explained, too, with or without the topology', () => {
  fc.assert(
    fc.property(
      damage,
      damage,
      damage,
      fc.boolean(),
      fc.bigInt(0n, (1n << 64n) - 1n),
      (a, b, c, known, address) => {
        const tree = read(damaged(dtb, a), 'a.dtb');
        const table = read(damaged(viot, b), 'b.aml');
        const hosts = read(damaged(mcfg, c), 'c.aml');
        const facts: Facts = {
          kernel: DEFAULT_KERNEL,
          guestPage: 4096n,
          ...(known ? { model } : {}),
          ...(tree?.format === 'dtb' ? { tree: tree.tree } : {}),
          ...(table?.format === 'viot' ? { viot: table.viot } : {}),
          ...(hosts?.format === 'mcfg' ? { mcfg: hosts.mcfg } : {}),
        };
        const sources = (facts.tree ? 1 : 0) + (facts.viot ? 1 : 0);
        for (const word of ['00:02.0', '0001:10:00.0', '0x10', '0x1000', '/virtio@a000000']) {
          for (const asker of findAskers(facts, word)) {
            const it = explain(facts, asker, address);
            expect(it.conclusions).toHaveLength(sources);
            expect(it.steps.length).toBeLessThan(500);
          }
        }
      },
    ),
    { numRuns: 150 },
  );
}, 120_000);
