export interface AcceleratorChoice {
  readonly name: 'kvm' | 'tcg';
  readonly why: string;
}
export async function chooseAccelerator(..._a: readonly unknown[]): Promise<AcceleratorChoice> {
  return { name: 'tcg', why: 'shim' };
}
export function preflight(..._a: readonly unknown[]): never[] {
  return [];
}
