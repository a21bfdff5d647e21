import type { Machine } from '../machine/index.ts';
import type { Emulator } from './emulator.ts';

/**
 * Puts the CPU, its interrupt controller and its UART on a machine's bus.
 *
 * The machine must have been made with the emulator's memory:
 * `buildMachine(model, { memory: emulator.memory })`. A topology with a GICv3 needs an emulator with
 * one; it gets the topology's ITSs. Messages that have nowhere to go are counted.
 */
export function attach(emulator: Emulator, machine: Machine): { readonly lost: () => number } {
  let lost = 0;
  for (const { id, kind, frame } of machine.model.doorbells) {
    if (kind === 'its') machine.bus.add(emulator.addIts(id, Number(frame.start)));
  }
  for (const region of emulator.regions) machine.bus.add(region);
  machine.onInterrupt = (interrupt) => {
    if (interrupt.kind === 'line') emulator.gic.setLine(interrupt.number, interrupt.level);
    else if (interrupt.kind === 'edge') emulator.gic.pulse(interrupt.number);
    else if (interrupt.kind === 'apic') lost++;
    else {
      const { doorbell, deviceId, eventId } = interrupt;
      if (!emulator.message(doorbell, deviceId, eventId)) lost++;
    }
  };
  emulator.connect({
    read: (address, size) => machine.bus.read(address, size),
    write: (address, size, value) => machine.bus.write(address, size, value),
    work: () => machine.isWaiting && machine.runPending(),
  });
  return { lost: () => lost };
}
