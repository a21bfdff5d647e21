import { hex } from '../bytes/index.ts';
import { FDT_NAME_MAX, FDT_PHANDLE_INVALID, FDT_PHANDLE_NONE } from '../spec/fdt.ts';
import { FdtTreeError } from './error.ts';
import { splitName, walk, type FdtNode } from './tree.ts';
import { decodeString, decodeU32 } from './value.ts';

const BASE = /^[a-zA-Z][0-9a-zA-Z,._+-]*$/;
const UNIT = /^[0-9a-zA-Z,._+-]+$/;
const PROPERTY = /^[0-9a-zA-Z,._+?#-]+$/;

/** Why this cannot be the name of a node other than the root (Node Names), or undefined. */
export function nodeNameProblem(name: string): string | undefined {
  const { base, unit } = splitName(name);
  if (base === '') return 'a node needs a name';
  if (base.length > FDT_NAME_MAX) {
    return `node name of ${base.length} characters, at most ${FDT_NAME_MAX} are allowed before the @`;
  }
  if (!BASE.test(base)) {
    return `node name ${JSON.stringify(base)} must be a letter, then letters, digits and ,._+-`;
  }
  if (unit !== undefined && !UNIT.test(unit)) {
    return `unit address ${JSON.stringify(unit)} must be letters, digits and ,._+-`;
  }
  return undefined;
}

/** Why this cannot be the name of a property (Property Names), or undefined. */
export function propertyNameProblem(name: string): string | undefined {
  if (name.length > FDT_NAME_MAX) {
    return `property name of ${name.length} characters, at most ${FDT_NAME_MAX} are allowed`;
  }
  if (!PROPERTY.test(name)) {
    return `property name ${JSON.stringify(name)} must be letters, digits and ,._+?#-`;
  }
  return undefined;
}

/** Whether a node may have this phandle. */
export function validPhandle(phandle: number): boolean {
  return phandle !== FDT_PHANDLE_NONE && phandle !== FDT_PHANDLE_INVALID;
}

/** A property's bytes when they are known already. */
export function plainBytes(node: FdtNode, name: string): Uint8Array | undefined {
  const value = node.props.get(name);
  return value instanceof Uint8Array ? value : undefined;
}

/**
 * Why the unit address disagrees with `reg`, or undefined. Only plain hexadecimal addresses on
 * buses of one or two address cells are compared: PCI's `dev,fn` is another notation.
 */
function unitAddressProblem(node: FdtNode, parent: FdtNode | undefined): string | undefined {
  const reg = plainBytes(node, 'reg');
  const { unit } = splitName(node.name);
  if (reg === undefined || parent === undefined || unit === undefined) return undefined;
  if (!/^[0-9a-fA-F]+$/.test(unit)) return undefined;
  if (decodeString(plainBytes(parent, 'device_type')) === 'pci') return undefined;
  const count = decodeU32(plainBytes(parent, '#address-cells')) ?? 2;
  if (count < 1 || count > 2 || reg.length < count * 4) return undefined;
  const address = BigInt(`0x${Buffer.from(reg.subarray(0, count * 4)).toString('hex')}`);
  if (address === BigInt(`0x${unit}`)) return undefined;
  return `unit address ${unit}, but reg starts at ${hex(address)}`;
}

/**
 * Checks names, siblings, unit addresses and phandles of a whole tree.
 * @throws FdtTreeError that names the path of the first mistake in tree order.
 */
export function validateTree(root: FdtNode): void {
  const owners = new Map<number, string>();
  for (const { node, path, parent } of walk(root)) {
    if (parent === undefined) {
      if (node.name !== '') throw new FdtTreeError('fdt/root-name', path, `named "${node.name}"`);
    } else {
      const problem = nodeNameProblem(node.name);
      if (problem !== undefined) throw new FdtTreeError('fdt/node-name', path, problem);
    }
    for (const name of node.props.keys()) {
      const problem = propertyNameProblem(name);
      if (problem !== undefined)
        throw new FdtTreeError('fdt/property-name', `${path}:${name}`, problem);
    }
    const names = new Set<string>();
    for (const child of node.children) {
      if (names.has(child.name)) {
        throw new FdtTreeError('fdt/duplicate-node', path, `two children named ${child.name}`);
      }
      names.add(child.name);
    }
    const unit = unitAddressProblem(node, parent);
    if (unit !== undefined) throw new FdtTreeError('fdt/unit-address', path, unit);
    checkPhandle(node, path, owners);
  }
}

function checkPhandle(node: FdtNode, path: string, owners: Map<number, string>): void {
  for (const name of ['phandle', 'linux,phandle']) {
    const value = node.props.get(name);
    if (value === undefined) continue;
    const phandle = value instanceof Uint8Array ? decodeU32(value) : undefined;
    if (phandle === undefined || !validPhandle(phandle)) {
      throw new FdtTreeError('fdt/phandle', `${path}:${name}`, 'not one cell of 0x1-0xfffffffe');
    }
    const owner = owners.get(phandle);
    if (owner !== undefined && owner !== path) {
      throw new FdtTreeError('fdt/duplicate-phandle', path, `${hex(phandle)} is that of ${owner}`);
    }
    owners.set(phandle, path);
  }
}
