import { MessageChannel } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { builtImages } from '../../../src/backends/index.ts';
import { FormatError } from '../../../src/bytes/index.ts';
import type { Boot } from '../../../src/cli/commands/boot/boots.ts';
import { defaultJobs, inParallel } from '../../../src/cli/commands/boot/jobs.ts';
import {
  hear,
  hooksThrough,
  receiveError,
  sendError,
  type Told,
} from '../../../src/cli/commands/boot/task.ts';
import { buildFirmware } from '../../../src/firmware/index.ts';
import { EnvironmentError } from '../../../src/guest/index.ts';
import type { BootHooks } from '../../../src/scenario/index.ts';
import { cli } from '../../support/cli.ts';
import { modelFrom, shippedModel } from '../../support/model-guest.ts';

const GIB = 2 ** 30;

function bootOf(name: string, memory?: string): Boot {
  const model =
    memory === undefined
      ? shippedModel(name)
      : modelFrom(
          `extends: virt-arm64\nmachine: { memory: ${memory} }\nviommus: [{ id: v0, at: 00:01.0 }]\n`,
        );
  const firmware = builtImages(buildFirmware(model), name);
  return { file: `${name}.yaml`, model, firmware, backend: 'emulator', kind: 'device-tree' };
}

describe('jobs', () => {
  test('one a core, as far as memory and boots go', () => {
    const small = bootOf('one-endpoint');
    const three = [small, small, small];
    expect(defaultJobs(three, 8, 64 * GIB)).toBe(3);
    expect(defaultJobs(three, 2, 64 * GIB)).toBe(2);
    // 512 MiB and what a boot takes beside it.
    expect(defaultJobs(three, 8, 2 * GIB)).toBe(2);
    expect(defaultJobs(three, 8, GIB / 4)).toBe(1);
    expect(defaultJobs([small, bootOf('big', '3G')], 8, 4 * GIB)).toBe(1);
  });

  test.each(['0', '-1', 'two', '1.5', '100000'])('--jobs %s is refused', async (text) => {
    const { code, err } = await cli('boot', 'topologies/its.yaml', '--jobs', text);
    expect({ code, err }).toMatchObject({ code: 2, err: expect.stringContaining('1 to 1024') });
  });

  test('never more at once, started in order', async () => {
    const started: number[] = [];
    let running = 0;
    let most = 0;
    const task = async (item: number): Promise<void> => {
      started.push(item);
      most = Math.max(most, ++running);
      await new Promise((resolve) => void setTimeout(resolve, item % 3));
      running--;
    };
    await inParallel([0, 1, 2, 3, 4, 5, 6], 3, task, () => undefined);
    expect({ started, most, running }).toEqual({
      started: [0, 1, 2, 3, 4, 5, 6],
      most: 3,
      running: 0,
    });
  });

  test('the first error stops the others, which are waited for', async () => {
    const ender = new AbortController();
    const ended: string[] = [];
    const task = async (item: string): Promise<void> => {
      if (item === 'bad') throw new Error('broken');
      await new Promise((resolve) => {
        ender.signal.addEventListener('abort', resolve);
      });
      ended.push(item);
      throw new Error('stopped');
    };
    const run = inParallel(['slow', 'bad', 'never'], 2, task, () => ender.abort());
    await expect(run).rejects.toThrow('broken');
    expect(ended).toEqual(['slow']);
  });
});

describe('what goes to a worker and back', () => {
  test.each(['its', 'large', 'faults', 'two-viommus', 'platform-device', 'reserved-regions'])(
    '%s is plain data',
    (name) => {
      const boot = bootOf(name);
      expect(structuredClone(boot)).toEqual(boot);
    },
  );

  test('errors for the user are errors for the user again', () => {
    const lacking = new EnvironmentError('env/program-missing', 'no xz', 'install it');
    expect(receiveError(structuredClone(sendError(lacking)), 'f.yaml')).toEqual(lacking);
    const format = new FormatError('image/magic', 0x38, 'no kernel');
    const back = receiveError(structuredClone(sendError(format)), 'f.yaml');
    expect(back).toBeInstanceOf(FormatError);
    expect(back).toMatchObject({ code: 'image/magic', offset: 0x38, message: format.message });
  });

  test('any other error names the file, and has the stack of the worker', () => {
    const bug = new TypeError('x is not a function');
    const back = receiveError(structuredClone(sendError(bug)), 'f.yaml');
    expect(back.message).toBe('f.yaml: TypeError: x is not a function');
    expect(back.stack).toContain('boot-jobs.test.ts');
    expect(receiveError(sendError('odd'), 'f.yaml').message).toBe('f.yaml: Error: odd');
  });

  test('hooks hear through a port what somebody listens to', async () => {
    const { port1, port2 } = new MessageChannel();
    const heard: string[] = [];
    const hooks: BootHooks = {
      progress: (text) => void heard.push(`progress ${text}`),
      console: (line) => void heard.push(`console ${line}`),
    };
    const three = new Promise<void>((resolve) => {
      port1.on('message', (told: Told) => {
        hear(hooks, told);
        if (heard.length === 2) resolve();
      });
    });
    const far = hooksThrough(port2, { console: true, event: false, observed: false });
    far.progress?.('boots');
    far.console?.('Linux');
    await three;
    expect(heard).toEqual(['progress boots', 'console Linux']);
    expect(far.event).toBeUndefined();
    port1.close();
  });
});
