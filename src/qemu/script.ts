import { guestName } from '../guest/index.ts';
import type { Model } from '../topology/index.ts';
import type { Argument, FileName, Part } from './argument.ts';
import { buildCommand, cpuModel, ownTablesParameters, type QemuCommand } from './command.ts';
import { diskLabel, SECTOR_SIZE, type DiskImage } from './disk.ts';
import { RANGE_KNOBS_QEMU } from './devices.ts';
import { diskImages } from './disk-images.ts';
import { shellWord } from './error.ts';
import { ACPI_TABLES_ADDRESS } from './rsdp.ts';
import { stockSeries } from './series.ts';
import { OLDEST_QEMU, type QemuVersion } from './version.ts';

export interface ScriptOptions {
  /** Default: 7.2 and newer, told apart when the script runs. */
  readonly version?: QemuVersion;
  /** The kernel's command line; default: console, init of the initial RAM disk, stop at a panic. */
  readonly append?: string;
  /** Seed of the disks' contents; default: the topology's name. */
  readonly seed?: string;
}

/**
 * `boot.sh`: the machine of a topology, to be run by hand beside `topology.dtb`.
 *
 * POSIX shell. The text depends on nothing but its arguments.
 */
export function bootScript(model: Model, options: ScriptOptions = {}): string {
  const console = model.arch === 'arm64' ? 'ttyAMA0' : 'ttyS0';
  const commandFor = (version: QemuVersion): QemuCommand =>
    buildCommand(model, {
      version,
      append: options.append ?? `console=${console} rdinit=/init panic=-1`,
      ...(options.seed === undefined ? {} : { seed: options.seed }),
    });
  const command = commandFor(options.version ?? OLDEST_QEMU);
  // Whoever runs the script may have another QEMU than whoever wrote it.
  const newer = options.version === undefined ? commandFor(RANGE_KNOBS_QEMU) : command;
  return [
    ...head(model),
    ...settings(model, command),
    ...halfLines(command.disks),
    ...command.disks.flatMap(diskLines),
    ...optionalTables(model),
    ...traceLines(),
    ...commandLines(model, command, newer),
    '',
  ].join('\n');
}

function head(model: Model): string[] {
  return [
    '#!/bin/sh',
    `# Boots the topology ${commentText(model.name)} under QEMU. Written by viommu-topo build.`,
    '#',
    '#   ./boot.sh [KERNEL INITRD] [-- MORE QEMU OPTIONS]',
    '#',
    '# KERNEL and INITRD may also be set in the environment; without either, those of the cache',
    '# are taken (viommu-topo guest fetch). Leave QEMU with Ctrl-C.',
    '# QEMU, ACCEL, CPU: another program, accelerator or CPU.  TRACE: a file for the trace of the',
    '# vIOMMU.  QMP: a path for a control socket.  Paths among MORE QEMU OPTIONS are taken from the',
    "# directory of this script, the others from the caller's.",
    'set -eu',
    'usage() {',
    '  echo "boot.sh: $1" >&2',
    '  echo "usage: boot.sh [KERNEL INITRD] [-- MORE QEMU OPTIONS]" >&2',
    '  exit 2',
    '}',
    '',
  ];
}

/** A name in a comment must not end the comment. */
function commentText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?');
}

function settings(model: Model, command: QemuCommand): string[] {
  const arch = model.arch === 'arm64' ? 'arm64' : 'amd64';
  const series = stockSeries(model.guest.kernel);
  return [
    'case ${1-} in',
    "  '' | --) ;;",
    '  -*) usage "options of QEMU come after --" ;;',
    '  *)',
    '    case ${2-} in',
    '      \'\' | --) usage "KERNEL and INITRD belong together, and only one is given" ;;',
    '    esac',
    '    KERNEL=$1 INITRD=$2',
    '    shift 2',
    '    ;;',
    'esac',
    'if [ $# -gt 0 ]; then',
    '  [ "$1" = -- ] || usage "$1 is one argument too many"',
    '  shift',
    'fi',
    'case ${XDG_CACHE_HOME-} in',
    '  /*) cache=$XDG_CACHE_HOME ;;',
    '  *) cache=${HOME-}/.cache ;;',
    'esac',
    `cache=$cache/viommu-topo/guests/${guestName(arch, series)}`,
    'KERNEL=${KERNEL:-$cache/vmlinuz}',
    'INITRD=${INITRD:-$cache/initramfs.cpio}',
    'for file in "$KERNEL" "$INITRD"; do',
    '  [ -f "$file" ] && continue',
    '  echo "boot.sh: $file is missing; give a kernel and an initial RAM disk, or run" >&2',
    `  echo "  viommu-topo guest fetch --arch ${arch} --series ${series}" >&2`,
    '  exit 3',
    'done',
    `QEMU=\${QEMU:-${command.program}}`,
    '# A path as the caller has it, from anywhere.',
    'absolute() {',
    '  case $1 in',
    '    /*) printf "%s\\n" "$1" ;;',
    '    *) printf "%s\\n" "$PWD/$1" ;;',
    '  esac',
    '}',
    'KERNEL=$(absolute "$KERNEL") INITRD=$(absolute "$INITRD")',
    'TRACE=${TRACE:+$(absolute "$TRACE")} QMP=${QMP:+$(absolute "$QMP")}',
    'case $QEMU in */*) QEMU=$(absolute "$QEMU") ;; esac',
    'if ! command -v "$QEMU" >/dev/null; then',
    '  echo "boot.sh: there is no $QEMU; install QEMU, or name it: QEMU=PATH" >&2',
    '  exit 3',
    'fi',
    'CDPATH="" cd -- "$(dirname -- "$0")"',
    'ACCEL=${ACCEL:-tcg}',
    'case $ACCEL in',
    '  kvm*) CPU=${CPU:-host} ;;',
    `  *) CPU=\${CPU:-${cpuModel(model, 'tcg')}} ;;`,
    'esac',
    '',
  ];
}

/** Where the script keeps the image of an endpoint's disk. */
export function diskFileName(endpoint: string): string {
  return `${endpoint.replaceAll(/[^A-Za-z0-9._-]/g, '_')}.img`;
}

/** Files that `boot.sh` makes beside itself; they belong to the outputs that it is one of. */
export function scriptProducts(model: Model): string[] {
  return diskImages(model, model.name).map(({ endpoint }) => diskFileName(endpoint));
}

function diskLines(disk: DiskImage): string[] {
  const file = shellWord(diskFileName(disk.endpoint));
  const sectors = disk.size / BigInt(SECTOR_SIZE);
  const label = diskLabel(disk);
  return [
    `# The disk of ${disk.endpoint}: ${sectors} sectors, each saying which it is.`,
    `if [ ! -f ${file} ]; then`,
    "  awk 'BEGIN {",
    `    fill = sprintf("%${SECTOR_SIZE - 1}s", ""); gsub(/ /, ".", fill)`,
    `    for (i = 0; i < ${sectors}; i++)`,
    `      print substr(sprintf("${label} sector %012d ", i) fill, 1, ${SECTOR_SIZE - 1})`,
    '  }\' >"$half"',
    `  mv -f -- "$half" ${file}`,
    'fi',
    '',
  ];
}

/** A disk image that is half written has a name that nothing else looks at. */
function halfLines(disks: readonly DiskImage[]): string[] {
  if (disks.length === 0) return [];
  return [
    'half=.viommu-topo.half-$$',
    'trap \'rm -f "$half"\' EXIT',
    "trap 'exit 129' HUP",
    "trap 'exit 130' INT",
    "trap 'exit 143' TERM",
    '',
  ];
}

/** `viommu-topo boot` makes acpi.bin, which needs a look at QEMU's own tables; build does not. */
function optionalTables(model: Model): string[] {
  if (model.board !== 'q35') return [];
  return [
    '# With acpi.bin the guest gets ACPI tables of ours; without it, the VIOT that QEMU makes.',
    'tables=',
    'if [ -f acpi.bin ]; then',
    `  tables=" ${ownTablesParameters().replaceAll('$', '\\$')}"`,
    `  set -- -device loader,file=acpi.bin,addr=0x${ACPI_TABLES_ADDRESS.toString(16)},force-raw=on "$@"`,
    'fi',
    '',
  ];
}

function traceLines(): string[] {
  return [
    'if [ -n "${TRACE-}" ]; then',
    `  set -- -msg timestamp=on -D "$TRACE" -trace 'virtio_iommu_*' "$@"`,
    'fi',
    'if [ -n "${QMP-}" ]; then',
    '  set -- -qmp "unix:$QMP,server=on,wait=off" "$@"',
    'fi',
    '',
  ];
}

/** A shell cannot hold comments inside one command: each group is put in front of the arguments. */
function commandLines(model: Model, command: QemuCommand, newer: QemuCommand): string[] {
  const lines: string[] = [];
  const texts = (one: QemuCommand): string[][] =>
    one.groups.map((group) => group.arguments.map((arg) => argumentText(model, arg)));
  const [older, other] = [texts(command), texts(newer)];
  const { major, minor } = RANGE_KNOBS_QEMU;
  if (JSON.stringify(older) !== JSON.stringify(other)) lines.push(...versionLines());
  const put = (indent: string, args: readonly string[]): string[] => [
    `${indent}set -- \\`,
    ...args.map((arg) => `${indent}  ${arg} \\`),
    `${indent}  "$@"`,
  ];
  // `set --` prepends, so the groups come in reverse and QEMU sees them in order.
  for (const [at, group] of [...command.groups.entries()].toReversed()) {
    const [args = [], changed = []] = [older[at], other[at]];
    lines.push(`# ${commentText(group.comment)}`);
    if (args.join('\n') === changed.join('\n')) lines.push(...put('', args));
    else {
      lines.push(`if [ "$version" -ge ${major * 1000 + minor} ]; then`);
      lines.push(...put('  ', changed), 'else', ...put('  ', args), 'fi');
    }
    lines.push('');
  }
  lines.push('exec "$QEMU" -serial stdio "$@"');
  return lines;
}

function versionLines(): string[] {
  const number = '\\([0-9]*\\)';
  return [
    '# 7.2 is 7002. Newer versions have knobs for what older ones fix.',
    `version=$("$QEMU" --version | sed -n 's/^QEMU emulator version ${number}\\.${number}.*/\\1 \\2/p')`,
    'version=${version:-7 2}',
    'version=$((${version% *} * 1000 + ${version#* }))',
    '',
  ];
}

function argumentText(model: Model, arg: Argument): string {
  if (arg.value === undefined) return arg.option;
  const text = arg.value.map(partText).join('');
  const tables = arg.option === '-append' && model.board === 'q35' ? '"$tables"' : '';
  return `${arg.option} ${text}${tables}`;
}

function partText(part: Part): string {
  if (typeof part === 'string') return shellWord(part);
  if ('choice' in part) return part.choice === 'accel' ? '"$ACCEL"' : '"$CPU"';
  return fileText(part.file);
}

function fileText(file: FileName): string {
  if (file === 'kernel') return '"$KERNEL"';
  if (file === 'initrd') return '"$INITRD"';
  if (file === 'tree') return 'topology.dtb';
  if (file === 'acpi-tables') return 'acpi.bin';
  if (file === 'viot') return 'viot.aml';
  if (file === 'qmp-socket') return '"$QMP"';
  if (file === 'trace') return '"$TRACE"';
  return shellWord(diskFileName(file.slice('disk:'.length)));
}
