// A server on 127.0.0.1, at the port in the variable PORT. It starts once and gets every request of its replica.
import { createServer } from "node:http";

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  let name;
  try {
    name = JSON.parse(Buffer.concat(chunks)).name;
  } catch {
    response.writeHead(400, { "Content-Type": "application/json" });
    return response.end('{"error":"the body must be JSON"}\n');
  }
  response.writeHead(200, { "Content-Type": "application/json" });
  response.end(JSON.stringify({ hello: name }) + "\n");
});

server.listen(Number(process.env.PORT), "127.0.0.1");
