#!lua flags=allow-oom
-- order: put an order into inboxes.
-- args: { what, {inbox, ...} }
-- returns: { inbox, ... } those that somebody reads
-- needs: inboxes
local what, inboxes = unpack(args)
local delivered = {}
for _, inbox in ipairs(inboxes) do
  if redis.call('EXISTS', P .. 'in:' .. inbox) == 1 then
    delivered[#delivered + 1] = inbox
    order(inbox, what, '')
  end
end
deliver_inboxes()
return cmsgpack.pack(delivered)
