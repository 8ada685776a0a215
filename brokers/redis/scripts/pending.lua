-- pending: what the server holds for a consumer, to be compared with what the consumer knows.
-- args: { consumer, {route, ...} }
-- returns: { ticket, run, ... }
local held = {}
for _, route in ipairs(args[2]) do
  local reply = redis.pcall('XPENDING', stream(route), GROUP, '-', '+', 1000, args[1])
  if not reply.err then
    for _, row in ipairs(reply) do
      local entry = redis.call('XRANGE', stream(route), row[1], row[1])[1]
      held[#held + 1] = route .. ' ' .. row[1]
      held[#held + 1] = entry and entry[2][2] or ''
    end
  end
end
return cmsgpack.pack(held)
