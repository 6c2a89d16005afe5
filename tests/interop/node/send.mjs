// Sends one raw message with nodemailer: node send.mjs PORT SENDER RECIPIENT[,RECIPIENT...] < message
// Prints the server's last reply. Fails, with the error's text, when anything is refused.
import nodemailer from "nodemailer";

const [port, from, to] = process.argv.slice(2);
const parts = [];
for await (const part of process.stdin) parts.push(part);
const transport = nodemailer.createTransport({
  host: "127.0.0.1",
  port: Number(port),
  secure: false,
  ignoreTLS: true,
  name: "client.example.org",
});
const result = await transport.sendMail({ envelope: { from, to: to.split(",") }, raw: Buffer.concat(parts) });
console.log(result.response);
transport.close();
