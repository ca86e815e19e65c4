// Who is in the call: each page says every few seconds that it is there and what it sends, and gets the others. In a real
// application this is what your own signalling or database knows.

const SILENCE_MS = 10_000;
const PEOPLE_MAX = 100;

export function createPeople(express) {
  const people = new Map(); // id -> { id, name, sessionId, tracks, seen }
  const router = express.Router();
  const forget = () => {
    for (const { id, seen } of [...people.values()]) if (seen < Date.now() - SILENCE_MS) people.delete(id);
  };

  router.put("/:id", express.json({ limit: "10kb" }), (request, response) => {
    forget();
    const { id } = request.params;
    const { name, sessionId, tracks } = request.body ?? {};
    if (!people.has(id) && people.size >= PEOPLE_MAX) return response.status(503).json({ error: "The room is full." });
    people.set(id, { id, name: String(name), sessionId, tracks, seen: Date.now() });
    return response.json([...people.values()].filter((person) => person.id !== id));
  });

  router.delete("/:id", (request, response) => {
    people.delete(request.params.id);
    response.sendStatus(204);
  });
  return router;
}
