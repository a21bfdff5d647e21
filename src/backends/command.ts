/** The command line that boots a topology again on a backend inside this process. */
export function repeatingCommand(
  file: string,
  backend: 'emulator' | 'model',
  kind: 'device-tree' | 'acpi',
): readonly string[] {
  const firmware = kind === 'acpi' ? 'acpi' : 'dt';
  return ['viommu-topo', 'boot', file, '--backend', backend, '--firmware', firmware];
}
