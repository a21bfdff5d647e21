/** How bad a problem is. */
export type AcpiSeverity = 'error' | 'warning' | 'note';

/**
 * Something a table says that is wrong, yet leaves it readable.
 *
 * `error`: Linux loses something, or refuses the table. `warning`: against the specification,
 * or an accident waiting, but Linux 6.12 copes. `note`: legal, only not what writers do.
 */
export interface AcpiProblem {
  /** Stable, `<table>/<words>`: `viot/empty-node`. */
  readonly code: string;
  readonly severity: AcpiSeverity;
  /** Bytes from the start of the table. */
  readonly offset: number;
  /** What is wrong and what Linux does about it. */
  readonly message: string;
}

/** A table of a few MiB can have a problem in each of 65,535 nodes: nobody reads them all. */
const PROBLEMS_MAX = 200;

/** Collects the problems of one table, at most {@link PROBLEMS_MAX} of them. */
export class Problems {
  readonly list: AcpiProblem[] = [];
  readonly #table: string;

  constructor(table: string) {
    this.#table = table;
  }

  error(code: string, offset: number, message: string): void {
    this.#add('error', code, offset, message);
  }

  warning(code: string, offset: number, message: string): void {
    this.#add('warning', code, offset, message);
  }

  note(code: string, offset: number, message: string): void {
    this.#add('note', code, offset, message);
  }

  #add(severity: AcpiSeverity, code: string, offset: number, message: string): void {
    if (this.list.length < PROBLEMS_MAX) {
      this.list.push({ code: `${this.#table}/${code}`, severity, offset, message });
    } else if (this.list.length === PROBLEMS_MAX) {
      this.list.push({
        code: 'acpi/too-many-problems',
        severity: 'error',
        offset,
        message: `more than ${PROBLEMS_MAX} problems: the rest is not listed`,
      });
    }
  }
}
