-- log: append log lines to runs, each of which keeps its last ones.
-- args: { { {run, {line, ...}}, ... }, keep, ttl ms }
-- returns: nothing
local keep, ttl = args[2], args[3]
for _, pair in ipairs(args[1]) do
  local key, lines = P .. 'l:' .. pair[1], pair[2]
  for first = 1, #lines, 1000 do
    redis.call('RPUSH', key, unpack(lines, first, math.min(first + 999, #lines)))
  end
  redis.call('LTRIM', key, -keep, -1)
  redis.call('PEXPIRE', key, ttl)
end
return cmsgpack.pack(0)
