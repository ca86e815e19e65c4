// Waiting for conditions instead of for time.

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Polls `probe` until it returns something true. The message of a failure tells what was seen last. */
export async function until(what, probe, { ms = 15_000, every = 60 } = {}) {
  const deadline = Date.now() + ms;
  let last;
  for (;;) {
    try {
      last = await probe();
      if (last === true || (last && last.done !== false)) return last?.value ?? last;
    } catch (error) {
      if (error.isFinal) throw error;
      last = error;
    }
    if (Date.now() > deadline) {
      const seen = last instanceof Error ? last.message : JSON.stringify(last?.seen ?? last);
      throw new Error(`waited ${ms} ms for ${what}; seen last: ${seen}`);
    }
    await pause(every);
  }
}
