import { failed, passed, type Promised } from '../promise.ts';

export const guestCompleted: Promised = {
  id: 'guest-completed',
  title: 'the guest boots, runs its checks and powers off',
  explanation:
    'The init script reached its last line before the time limit. Everything it had not come to by then is missing from the other promises.',
  judge: (_model, { guest, ending }) => {
    const parts = {
      subject: 'guest',
      expected: 'the report comes to its end',
      seen: ending.detail,
    };
    if (guest.completed && ending.kind === 'completed') return [passed(parts)];
    const evidence = ending.tail.slice(-8).map((text) => ({ source: 'console' as const, text }));
    return [failed({ ...parts, evidence })];
  },
};
