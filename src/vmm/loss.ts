/** Something of a topology that another VMM cannot be told. */
export interface Loss {
  /** Topology id of what is concerned; absent: the whole machine. */
  readonly subject?: string;
  /** What is lost, and what happens instead: one sentence. */
  readonly text: string;
}

/** A topology in the words of one VMM. */
export interface VmmExport {
  /** Name of the file, such as `crosvm.sh`. */
  readonly file: string;
  readonly text: string;
  readonly losses: readonly Loss[];
}

/** `disk0: no such device`. */
export function showLoss({ subject, text }: Loss): string {
  return subject === undefined ? text : `${subject}: ${text}`;
}
