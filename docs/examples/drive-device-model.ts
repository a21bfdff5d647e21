// The device model without a kernel: a machine of a topology, driven by the guest in TypeScript.
// Both are deterministic, so a test of a device takes milliseconds and never differs.
import { buildFirmware, buildMachine, listDomains, listMappings, loadTopology } from 'viommu-topo';
import type { Interrupt, Mapping } from 'viommu-topo';
import { BlockDriver, ModelGuest } from 'viommu-topo/testing';

/** What happened while the disk was read. */
export interface DiskRead {
  readonly bytes: Uint8Array;
  /** Requests that the vIOMMU answered, by name: MAP and UNMAP around each buffer. */
  readonly requests: readonly string[];
  /** What is mapped afterwards: the rings, which stay. */
  readonly mappings: readonly Mapping[];
}

/** Boots the model guest on a topology and reads the first sectors of the disk at 0000:00:02.0. */
export function readFirstSectors(topology: string, length: number): DiskRead {
  const { model } = loadTopology(topology);
  const blob = model && buildFirmware(model).dtb;
  if (model === undefined || blob === undefined) throw new Error(`${topology} has no device tree`);

  const interrupts: Interrupt[] = [];
  const machine = buildMachine(model, { onInterrupt: (it) => void interrupts.push(it) });
  // The guest is given what a kernel is given: memory, a bus, interrupts and the firmware's bytes.
  const guest = ModelGuest.boot(
    {
      memory: machine.memory,
      bus: machine.bus,
      takeInterrupts: () => interrupts.splice(0),
      run: () => machine.isWaiting && machine.runPending(),
    },
    { kind: 'device-tree', blob },
  );

  const requests: string[] = [];
  machine.subscribe((event) => {
    if (event.source === 'viommu' && event.event.kind === 'request') {
      requests.push(event.event.name);
    }
  });
  const disk = guest.device('0000:00:02.0')?.driver;
  if (!(disk instanceof BlockDriver)) throw new Error('there is no disk at 0000:00:02.0');
  const bytes = disk.read(0n, length);
  if (typeof bytes === 'string') throw new Error(`the disk says ${bytes}`);

  const { state } = machine.viommus.values().next().value?.device ?? {};
  const domains = state === undefined ? [] : listDomains(state);
  const mappings = domains.flatMap(({ id }) =>
    state === undefined ? [] : [...listMappings(state, id)],
  );
  return { bytes, requests, mappings };
}
