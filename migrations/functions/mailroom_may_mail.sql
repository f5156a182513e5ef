-- When a new token of this account and action would be mailed, as far as most_mails and most_within of the action limit
-- it. A form asks it before it inserts a token, and can say how long to wait. An unknown account gets the same answer
-- as one that got no mail.
-- Called by: the application.
-- Returns: whole seconds to wait; 0 if a new token would be mailed now.
CREATE OR REPLACE FUNCTION mailroom_may_mail(p_account bigint, p_action token_action) RETURNS integer
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    most   constant integer := mailroom_action_most_mails(p_action);
    period constant integer := mailroom_action_most_within(p_action);
BEGIN
    IF most IS NULL THEN
        RETURN 0;
    END IF;
    RETURN coalesce((
        SELECT max(greatest(0, ceil(extract(epoch FROM mails.at - clock_timestamp()) + period)))::integer
        FROM jobs q CROSS JOIN LATERAL (
            SELECT coalesce(d.settled_at, clock_timestamp()) AS at
            FROM (SELECT t.id FROM tokens t WHERE t.account = p_account AND t.action = p_action
                  ORDER BY t.id DESC LIMIT 100) other
                JOIN deliveries d ON d.queue = q.job_type AND d.token = other.id
            WHERE d.state IN ('sending', 'sent', 'emitted')
            ORDER BY 1 DESC OFFSET most - 1 LIMIT 1) mails), 0);
END $$;
