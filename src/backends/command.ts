/** The command line that boots a topology again on a backend with our own devices. */
export function repeatingCommand(
  file: string,
  backend: 'emulator' | 'model' | 'qemu-vfio-user',
  kind: 'device-tree' | 'acpi',
): readonly string[] {
  const firmware = kind === 'acpi' ? 'acpi' : 'dt';
  return ['viommu-topo', 'boot', file, '--backend', backend, '--firmware', firmware];
}
