import fc from 'fast-check';

// What a gate counts must not depend on luck.
fc.configureGlobal({ seed: 1 });
