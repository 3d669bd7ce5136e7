// The gateway's data. The key lives in this tab's session storage and travels in a header, never in an address.

const KEY = "sluice-key";
const PATIENCE_MS = 8000;

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

export async function ask(name, options = {}) {
  const reply = await fetch(`/console/api/${name}`, {
    signal: AbortSignal.timeout(PATIENCE_MS),
    cache: "no-store",
    ...options,
    headers: { authorization: `Bearer ${key.get()}`, ...options.headers },
  });
  if (!reply.ok) throw new Refused(reply.status, await reason(reply));
  return reply;
}

export const read = async (name) => (await ask(name)).json();

async function reason(reply) {
  try {
    return (await reply.json()).error.message;
  } catch {
    return `The gateway answered ${reply.status}.`;
  }
}
