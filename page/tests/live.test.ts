import { expect, test } from "vitest";
import { events } from "../src/live";

test("events are read however the stream is cut", () => {
  const stream = ": live\n\nevent: stored\ndata: {}\n\n: live\n\nevent: stored\ndata: {}\n\n";
  for (let cut = 0; cut <= stream.length; cut++) {
    const first = events(stream.slice(0, cut));
    const second = events(first.rest + stream.slice(cut));
    expect([...first.names, ...second.names]).toEqual(["stored", "stored"]);
    expect(second.rest).toBe("");
  }
});
