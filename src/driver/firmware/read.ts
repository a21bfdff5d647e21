import type { GuestFirmware } from '../platform.ts';
import { readAcpi } from './acpi.ts';
import { readTree } from './tree.ts';
import type { FirmwareView, ReadContext } from './view.ts';

/**
 * What a kernel learns from a device tree or from ACPI tables: hosts, IOMMUs, doorbells, regions.
 *
 * @throws FormatError when the firmware cannot be read at all
 */
export function readFirmware(firmware: GuestFirmware, context: ReadContext): FirmwareView {
  return firmware.kind === 'device-tree'
    ? readTree(firmware.blob, context)
    : readAcpi(firmware, context);
}
