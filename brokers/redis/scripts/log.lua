-- log: append log lines to runs, each of which keeps its last ones.
-- args: { { {run, {line, ...}}, ... }, keep, ttl ms }
-- returns: nothing
local runs, keep, ttl = unpack(args)
for _, run in ipairs(runs) do
  local id, lines = unpack(run)
  local key = P .. 'l:' .. id
  for first = 1, #lines, 1000 do
    local reply = redis.pcall('RPUSH', key, unpack(lines, first, math.min(first + 999, #lines)))
    -- a key of another type costs its own run's lines; a full server is reported to the sender
    if type(reply) == 'table' and not string.find(reply.err, 'WRONGTYPE', 1, true) then
      return redis.error_reply(reply.err)
    end
  end
  redis.pcall('LTRIM', key, -keep, -1)
  local kept = number(look(P .. 'f:' .. id, 'ttl')[1], ttl) -- of a run of a deployment as long as its record
  redis.pcall('PEXPIRE', key, math.max(ttl, kept))
end
return cmsgpack.pack(0)
