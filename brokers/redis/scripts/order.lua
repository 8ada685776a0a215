#!lua flags=allow-oom
-- order: put an order into inboxes.
-- args: { what, {inbox, ...} }
-- returns: { inbox, ... } those that somebody reads
local heard = {}
for _, inbox in ipairs(args[2]) do
  if redis.call('EXISTS', P .. 'in:' .. inbox) == 1 then
    heard[#heard + 1] = inbox
    order(inbox, args[1], '')
  end
end
close_script()
return cmsgpack.pack(heard)
